// Generation: the engine requests of one HTTP call: submitted together or not at all, cancelled
// together when the client leaves.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "http/response.h"
#include "serve/serve_context.h"

namespace lmdeploy {

// What turns a call's outputs into its answer. Calls come one at a time.
class OutputHandler {
 public:
  virtual ~OutputHandler() = default;
  // All requests are queued; nothing has been generated yet.
  virtual void on_start() = 0;
  // `index`: which of the requests.
  virtual void on_output(size_t index, GenerateOutput&& output) = 0;
  // Every choice of every request has finished.
  virtual void on_end() = 0;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  // Queues the requests, tells `handler`, and lives until the last output. When one is refused none is
  // queued, and the refusal is answered. `context` outlives the generation.
  static void run(ServeContext& context, std::vector<GenerateRequest> requests,
                  const ResponseWriter& response, std::unique_ptr<OutputHandler> handler);

  ~Generation();

 private:
  Generation(ServeContext& context, const ResponseWriter& response,
             std::unique_ptr<OutputHandler> handler);

  bool take_slot();
  void give_slot_back();
  bool submit_all(std::vector<GenerateRequest> requests);
  bool output(size_t index, GenerateOutput&& output);
  void cancel_all();

  ServeContext& context_;
  const ResponseWriter response_;
  std::mutex mutex_;  // held while submitting, so that outputs wait for on_start()
  std::unique_ptr<OutputHandler> handler_;
  std::vector<RequestId> ids_;
  size_t unfinished_ = 0;  // choices
  bool cancelled_ = false;
  bool has_slot_ = false;  // of --max-concurrent-requests
};

}  // namespace lmdeploy
