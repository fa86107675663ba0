#include "text/jinja/loop.h"

#include <algorithm>

#include "text/jinja/compare.h"
#include "text/jinja/functions.h"

namespace lmdeploy::jinja {

Result<std::optional<Value>> LoopObject::fetch(Evaluator& evaluator) {
  const bool lazy = source_.is(Kind::kIterator);
  if (!source_.is_sequence_object()) return std::optional<Value>();
  const std::vector<Value>& items = source_.items();
  size_t& position = lazy ? source_.sequence_object().cursor : next_;
  while (position < items.size()) {
    Value item = items[position++];
    RETURN_IF_ERROR(evaluator.step());
    if (loop_.condition == nullptr || outer_ == nullptr) return std::optional<Value>(std::move(item));
    ASSIGN_OR_RETURN(const bool accepted, evaluator.loop_accepts(loop_, outer_, item));
    if (accepted) return std::optional<Value>(std::move(item));
  }
  return std::optional<Value>();
}

Result<std::optional<Value>> LoopObject::peek(Evaluator& evaluator) {
  if (ahead_pos_ < ahead_.size()) return std::optional<Value>(ahead_[ahead_pos_]);
  ASSIGN_OR_RETURN(std::optional<Value> item, fetch(evaluator));
  if (item) ahead_.push_back(*item);
  return item;
}

Result<std::optional<Value>> LoopObject::advance(Evaluator& evaluator) {
  ASSIGN_OR_RETURN(std::optional<Value> item, peek(evaluator));
  if (!item) return item;
  if (++ahead_pos_ == ahead_.size()) {
    ahead_.clear();
    ahead_pos_ = 0;
  }
  ++index0_;
  before_ = std::move(current_);
  current_ = item;
  return item;
}

void LoopObject::finish() {
  outer_.reset();
  source_ = Value();
  ahead_.clear();
  next_ = ahead_pos_ = 0;
  before_.reset();
  current_.reset();
  last_changed_.reset();
}

Result<int64_t> LoopObject::length(Evaluator& evaluator) {
  if (length_) return *length_;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<Value> item, fetch(evaluator));
    if (!item) break;
    ahead_.push_back(std::move(*item));
  }
  length_ = index0_ + 1 + static_cast<int64_t>(ahead_.size() - ahead_pos_);
  return *length_;
}

Result<std::optional<Value>> LoopObject::attribute(Evaluator& evaluator, std::string_view name) {
  const auto number = [](int64_t n) { return std::optional<Value>(Value::integer(n)); };
  if (name == "index") return number(index0_ + 1);
  if (name == "index0") return number(index0_);
  if (name == "depth") return number(depth0_ + 1);
  if (name == "depth0") return number(depth0_);
  if (name == "first") return std::optional<Value>(Value::boolean(index0_ == 0));
  if (name == "length" || name == "revindex" || name == "revindex0") {
    ASSIGN_OR_RETURN(const int64_t total, length(evaluator));
    return number(name == "length" ? total : total - index0_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "last" || name == "nextitem") {
    ASSIGN_OR_RETURN(std::optional<Value> following, peek(evaluator));
    if (name == "last") return std::optional<Value>(Value::boolean(!following));
    return following ? following : Value::undefined("there is no next item");
  }
  if (name == "previtem") {
    return before_ ? before_ : Value::undefined("there is no previous item");
  }
  if (name == "cycle") {
    return std::optional<Value>(make_function(
        "cycle", [self = shared_from_this()](Evaluator&, Arguments& arguments) {
          return self->cycle(arguments);
        }));
  }
  if (name == "changed") {
    return std::optional<Value>(
        make_function("changed", [self = shared_from_this()](
                                     Evaluator&, Arguments& arguments) -> Result<Value> {
          return Value::boolean(self->changed(arguments));
        }));
  }
  return std::optional<Value>();
}

Result<Value> LoopObject::call(Evaluator& evaluator, Arguments& arguments) {
  if (!loop_.recursive) {
    return invalid_argument("a loop must be marked 'recursive' to be called");
  }
  if (outer_ == nullptr) return invalid_argument("the loop has ended and cannot be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return invalid_argument("loop() takes the items to go over, and nothing else");
  }
  return evaluator.recurse_loop(loop_, outer_, arguments.positional[0], depth0_ + 1);
}

Result<Value> LoopObject::cycle(Arguments& arguments) const {
  if (arguments.positional.empty()) return invalid_argument("loop.cycle() needs items");
  const auto count = static_cast<int64_t>(arguments.positional.size());
  return arguments.positional[static_cast<size_t>(index0_ % count)];
}

bool LoopObject::changed(Arguments& arguments) {
  const bool same = last_changed_ &&
                    std::equal(last_changed_->begin(), last_changed_->end(),
                               arguments.positional.begin(), arguments.positional.end(), equal);
  if (!same) last_changed_ = arguments.positional;
  return !same;
}

}  // namespace lmdeploy::jinja
