#include "serve/generation.h"

#include <fmt/format.h>

namespace lmdeploy {

Generation::Generation(ServeContext& context, const ResponseWriter& response,
                       std::unique_ptr<OutputHandler> handler)
    : context_(context), response_(response), handler_(std::move(handler)) {
  context_.generations.fetch_add(1);
}

Generation::~Generation() { context_.generations.fetch_sub(1); }

void Generation::run(ServeContext& context, std::vector<GenerateRequest> requests,
                     const ResponseWriter& response, std::unique_ptr<OutputHandler> handler) {
  const std::shared_ptr<Generation> self(new Generation(context, response, std::move(handler)));
  const int most = context.settings.max_concurrent_requests;
  if (most > 0 && context.generations.load() > most) {
    return send_error(
        response, {429, fmt::format("{} requests are under way already; try again later", most), "",
                   "too_many_requests"});
  }
  self->submit_all(std::move(requests));
  response.on_close([weak = std::weak_ptr(self)] {
    if (const auto alive = weak.lock()) alive->cancel_all();
  });
}

void Generation::submit_all(std::vector<GenerateRequest> requests) {
  std::lock_guard lock(mutex_);
  for (const GenerateRequest& request : requests) {
    unfinished_ += static_cast<size_t>(request.sampling.n);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    auto id = context_.host.submit(std::move(requests[i]),
                                   [self = shared_from_this(), i](GenerateOutput&& out) {
                                     return self->output(i, std::move(out));
                                   });
    if (!id.ok()) {
      cancelled_ = true;
      for (const RequestId queued : ids_) context_.host.cancel(queued);
      return send_error(response_, to_api_error(id.status()));
    }
    ids_.push_back(*id);
  }
  handler_->on_start();
}

bool Generation::output(size_t index, GenerateOutput&& output) {
  std::lock_guard lock(mutex_);
  if (cancelled_ || response_.closed()) return false;
  const bool finished = output.finish.has_value();
  handler_->on_output(index, std::move(output));
  if (finished && --unfinished_ == 0) handler_->on_end();
  return true;
}

void Generation::cancel_all() {
  std::vector<RequestId> ids;
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    ids.swap(ids_);
  }
  for (const RequestId id : ids) context_.host.cancel(id);
}

}  // namespace lmdeploy
