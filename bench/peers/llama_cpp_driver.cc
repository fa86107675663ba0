// Speed of llama.cpp through its C API, on the work that bench/peers/cpu.py measures every engine with.
//
//   llama_cpp_driver MODEL IDS THREADS WORK...
//
//   IDS   JSON list of lists of token ids; request r has the first ids of list r modulo their count
//   WORK  STREAMS,PROMPT,ANSWER,ROUNDS: so many requests at a time, so many times; 0 rounds is once
//         without a warm-up
//
// One line of JSON: seconds to load, and of each work the seconds from the first request to the last
// token. Draws are greedy; end ids stop nothing.

#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using Ids = std::vector<llama_token>;

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "llama_cpp_driver: %s\n", message.c_str());
  std::exit(1);
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The file is cpu.py's own: brackets and numbers, nothing else.
std::vector<Ids> read_ids(const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::vector<Ids> lists;
  for (size_t open = text.find('[', 1); open != std::string::npos; open = text.find('[', open + 1)) {
    Ids ids;
    const char* at = text.c_str() + open;
    while (*at == '[' || *at == ',') {
      char* end = nullptr;
      ids.push_back(static_cast<llama_token>(std::strtol(at + 1, &end, 10)));
      at = end;
    }
    lists.push_back(std::move(ids));
  }
  if (lists.empty()) fail(std::string(path) + ": no lists of ids");
  return lists;
}

struct Work {
  int streams, prompt, answer, rounds;
};

Work read_work(const char* text) {
  Work work{};
  if (std::sscanf(text, "%d,%d,%d,%d", &work.streams, &work.prompt, &work.answer, &work.rounds) != 4) {
    fail(std::string(text) + ": expected STREAMS,PROMPT,ANSWER,ROUNDS");
  }
  return work;
}

// A context of the model that has room for the streams of a work.
class Context {
 public:
  Context(llama_model* model, const Work& work, int threads)
      : vocabulary_size_(llama_vocab_n_tokens(llama_model_get_vocab(model))) {
    llama_context_params params = llama_context_default_params();
    const int tokens = (work.prompt + work.answer + 255) / 256 * 256;
    params.n_ctx = static_cast<uint32_t>(work.streams * tokens);
    params.n_batch = kBatch;
    params.n_ubatch = 512;
    params.n_seq_max = static_cast<uint32_t>(work.streams);
    params.n_threads = params.n_threads_batch = threads;
    context_ = llama_init_from_model(model, params);
    if (context_ == nullptr) fail("no context");
    batch_ = llama_batch_init(kBatch, 0, 1);
  }
  ~Context() {
    llama_batch_free(batch_);
    llama_free(context_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Answers of `answer` greedy tokens to prompts of `prompt` ids, all streams at a time.
  void run(const std::vector<Ids>& ids, size_t first, int streams, int prompt, int answer) {
    llama_memory_clear(llama_get_memory(context_), false);
    Ids last(static_cast<size_t>(streams));
    for (int stream = 0; stream < streams; ++stream) {
      const Ids& list = ids[(first + static_cast<size_t>(stream)) % ids.size()];
      for (int i = 0; i < prompt; ++i) {
        add(list[static_cast<size_t>(i)], i, stream, i == prompt - 1);
        if (batch_.n_tokens == kBatch) decode(last);
      }
    }
    decode(last);
    for (int step = 1; step < answer; ++step) {
      for (int stream = 0; stream < streams; ++stream) {
        add(last[static_cast<size_t>(stream)], prompt + step - 1, stream, true);
      }
      decode(last);
    }
  }

 private:
  static constexpr int kBatch = 2048;

  void add(llama_token id, int position, int stream, bool drawn) {
    const int at = batch_.n_tokens++;
    batch_.token[at] = id;
    batch_.pos[at] = position;
    batch_.n_seq_id[at] = 1;
    batch_.seq_id[at][0] = stream;
    batch_.logits[at] = drawn;
  }

  // Runs the batch; last[stream] becomes the likeliest id of each stream that draws in it.
  void decode(Ids& last) {
    if (batch_.n_tokens == 0) return;
    if (llama_decode(context_, batch_) != 0) fail("llama_decode failed");
    for (int at = 0; at < batch_.n_tokens; ++at) {
      if (!batch_.logits[at]) continue;
      const float* logits = llama_get_logits_ith(context_, at);
      last[static_cast<size_t>(batch_.seq_id[at][0])] =
          static_cast<llama_token>(std::max_element(logits, logits + vocabulary_size_) - logits);
    }
    batch_.n_tokens = 0;
  }

  const int vocabulary_size_;
  llama_context* context_ = nullptr;
  llama_batch batch_{};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) fail("usage: llama_cpp_driver MODEL IDS THREADS WORK...");
  const std::vector<Ids> ids = read_ids(argv[2]);
  const int threads = std::atoi(argv[3]);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const double start = now();
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) fail(std::string(argv[1]) + ": cannot be loaded");
  std::printf("{\"load_seconds\": %.3f, \"works\": [", now() - start);
  for (int i = 4; i < argc; ++i) {
    const Work work = read_work(argv[i]);
    Context context(model, work, threads);
    if (work.rounds > 0) context.run(ids, 0, std::min(work.streams, 2), work.prompt, std::min(work.answer, 4));
    const double before = now();
    for (int round = 0; round < std::max(work.rounds, 1); ++round) {
      context.run(ids, static_cast<size_t>(round * work.streams), work.streams, work.prompt, work.answer);
    }
    const double seconds = now() - before;
    std::printf("%s{\"work\": \"%s\", \"seconds\": %.4f}", i > 4 ? ", " : "", argv[i], seconds);
  }
  std::printf("]}\n");
  llama_model_free(model);
  llama_backend_free();
}
