#include "serve/generation.h"

#include <fmt/format.h>

#include <utility>

namespace lmdeploy {

Generation::Generation(ServeContext& context, const ResponseWriter& response,
                       std::unique_ptr<OutputHandler> handler)
    : context_(context), response_(response), handler_(std::move(handler)) {}

Generation::~Generation() { give_slot_back(); }

void Generation::run(ServeContext& context, std::vector<GenerateRequest> requests,
                     const ResponseWriter& response, std::unique_ptr<OutputHandler> handler) {
  const std::shared_ptr<Generation> self(new Generation(context, response, std::move(handler)));
  if (!self->take_slot()) {
    return send_error(response, {429,
                                 fmt::format("{} requests are under way already; try again later",
                                             context.settings.max_concurrent_requests),
                                 "", "too_many_requests"});
  }
  if (!self->submit_all(std::move(requests))) return;
  response.on_close([weak = std::weak_ptr(self)] {
    if (const auto alive = weak.lock()) alive->cancel_all();
  });
}

bool Generation::take_slot() {
  has_slot_ = true;
  const int most = context_.settings.max_concurrent_requests;
  return context_.generations.fetch_add(1) < most || most == 0;
}

void Generation::give_slot_back() {
  if (std::exchange(has_slot_, false)) context_.generations.fetch_sub(1);
}

bool Generation::submit_all(std::vector<GenerateRequest> requests) {
  std::vector<Engine::Submission> call;
  for (size_t i = 0; i < requests.size(); ++i) {
    unfinished_ += static_cast<size_t>(requests[i].sampling.n);
    call.push_back({std::move(requests[i]), [self = shared_from_this(), i](GenerateOutput&& out) {
                      return self->output(i, std::move(out));
                    }});
  }
  std::lock_guard lock(mutex_);
  auto ids = context_.host.submit(std::move(call));
  if (!ids.ok()) {
    send_error(response_, to_api_error(ids.status()));
    return false;
  }
  ids_ = std::move(*ids);
  handler_->on_start();
  return true;
}

bool Generation::output(size_t index, GenerateOutput&& output) {
  std::lock_guard lock(mutex_);
  if (cancelled_ || response_.closed()) return false;
  const bool finished = output.finish.has_value();
  handler_->on_output(index, std::move(output));
  if (!finished || --unfinished_ > 0) return true;
  give_slot_back();  // first: who reads the answer may ask again
  handler_->on_end();
  return true;
}

void Generation::cancel_all() {
  std::vector<RequestId> ids;
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    ids.swap(ids_);
    give_slot_back();
  }
  for (const RequestId id : ids) context_.host.cancel(id);
}

}  // namespace lmdeploy
