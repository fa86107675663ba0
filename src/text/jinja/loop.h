// LoopObject: the `loop` variable of a for loop, and the source of its items.
#pragma once

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

class LoopObject : public Opaque, public std::enable_shared_from_this<LoopObject> {
 public:
  // `loop` outlives the object. `outer` is the scope around the loop. `source` has an item vector.
  LoopObject(const For& loop, std::shared_ptr<Scope> outer, Value source, int depth0)
      : loop_(loop), outer_(std::move(outer)), source_(std::move(source)), depth0_(depth0) {}

  // Steps to the next item that the loop's condition accepts; nullopt at the end.
  Result<std::optional<Value>> advance(Evaluator& evaluator);
  // The loop has ended: lets go of the scope and the items, which may hold the object themselves.
  void finish();

  std::string type_name() const override { return "LoopContext"; }
  Result<std::optional<Value>> attribute(Evaluator& evaluator, std::string_view name) override;
  bool callable() const override { return true; }
  // loop(items) of a recursive loop.
  Result<Value> call(Evaluator& evaluator, Arguments& arguments) override;
  // loop.cycle(a, b, ...) and loop.changed(value, ...)
  Result<Value> cycle(Arguments& arguments) const;
  bool changed(Arguments& arguments);

 private:
  Result<std::optional<Value>> fetch(Evaluator& evaluator);
  Result<std::optional<Value>> peek(Evaluator& evaluator);
  Result<int64_t> length(Evaluator& evaluator);

  const For& loop_;
  std::shared_ptr<Scope> outer_;
  Value source_;     // an iterator is read, for good, as the loop goes
  size_t next_ = 0;  // of anything else
  int depth0_;
  int64_t index0_ = -1;
  std::vector<Value> ahead_;  // accepted items that were looked at early
  size_t ahead_pos_ = 0;
  std::optional<int64_t> length_;
  std::optional<Value> before_, current_;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace lmdeploy::jinja
