#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>

#include "tensor/arena.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

constexpr int kInlineTiles = 2;  // tiles of 64 x 64 that one thread does faster than a barrier
constexpr int64_t kStateBytes = 4 << 20;  // of the partial states of run_splits, a thread

// Scratch of one call, whose blocks have at most `rows` rows.
class Scratch {
 public:
  Scratch(Arena& arena, const AttentionArgs& args, const AttentionKernels& kernels, int rows)
      : arena_(arena),
        state_rows_((rows + kStateRows - 1) / kStateRows * kStateRows),
        width_(args.width),
        kernel_bytes_(static_cast<int64_t>(kernels.scratch_bytes(args, rows))) {}

  SoftmaxState state() {
    return {floats(state_rows_), floats(state_rows_), floats(int64_t{state_rows_} * width_)};
  }
  int64_t state_bytes() const {
    return int64_t{state_rows_} * (width_ + 2) * static_cast<int64_t>(sizeof(float));
  }
  AttentionWorkspace workspace() {
    return {arena_.allocate<std::byte>(kernel_bytes_), state(), state()};
  }

 private:
  float* floats(int64_t count) { return arena_.allocate<float>(count); }

  Arena& arena_;
  int state_rows_, width_;
  int64_t kernel_bytes_;
};

struct SplitRange {
  int begin, end;
  int count() const { return end - begin; }
};

// Splits that some row of the block sees.
SplitRange visible_splits(const AttentionArgs& args, const AttentionBlock& block) {
  return {first_visible(args, first_position(args, block)) / kSplitTokens,
          last_position(args, block) / kSplitTokens + 1};
}

int visible_tiles(const AttentionArgs& args, const AttentionBlock& block) {
  const int first = first_visible(args, first_position(args, block));
  return last_position(args, block) / kTileTokens + 1 - first / kTileTokens;
}

// All blocks of the step; those of a long prompt last token first, so that the longest start first.
std::span<AttentionBlock> make_blocks(Arena& arena, const AttentionArgs& args, int block_tokens) {
  int64_t count = 0;
  for (int b = 0; b < args.sequences; ++b) {
    const int queries = args.query_start[b + 1] - args.query_start[b];
    count += int64_t{(queries + block_tokens - 1) / block_tokens} * args.kv_heads;
  }
  AttentionBlock* blocks = arena.allocate<AttentionBlock>(count);
  int64_t made = 0;
  for (int b = 0; b < args.sequences; ++b) {
    const int queries = args.query_start[b + 1] - args.query_start[b];
    for (int i = (queries - 1) / block_tokens; i >= 0 && queries > 0; --i) {
      const int tokens = std::min(block_tokens, queries - i * block_tokens);
      for (int head = 0; head < args.kv_heads; ++head) {
        blocks[made++] = {b, head, args.query_start[b] + i * block_tokens, tokens};
      }
    }
  }
  return {blocks, static_cast<size_t>(made)};
}

// Each task is a whole block: its splits one after the other.
void run_blocks(ThreadPool& pool, const AttentionKernels& kernels, const AttentionArgs& args,
                std::span<const AttentionBlock> blocks, const AttentionWorkspace* workspaces,
                bool inline_only) {
  const int group = args.heads / args.kv_heads;
  const auto attend = [&](int64_t i, int worker) {
    const AttentionBlock& block = blocks[static_cast<size_t>(i)];
    const AttentionWorkspace& work = workspaces[worker];
    const SplitRange splits = visible_splits(args, block);
    kernels.attend_split(args, block, splits.begin, work.kernel, work.total);
    for (int split = splits.begin + 1; split < splits.end; ++split) {
      kernels.attend_split(args, block, split, work.kernel, work.split);
      kernels.merge(args, block.tokens * group, work.split, work.total);
    }
    kernels.finish(args, block, work.total);
  };
  const int64_t count = static_cast<int64_t>(blocks.size());
  if (inline_only) {
    for (int64_t i = 0; i < count; ++i) attend(i, 0);
    return;
  }
  std::atomic<int64_t> next{0};
  pool.run([&](int worker) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) attend(i, worker);
  });
}

// Each task is one split of a block; the partial states are merged in order afterwards. Tasks come
// in waves of at most `most_states`.
void run_splits(ThreadPool& pool, const AttentionKernels& kernels, const AttentionArgs& args,
                std::span<const AttentionBlock> blocks, const AttentionWorkspace* workspaces,
                Arena& arena, Scratch& scratch, int64_t most_states) {
  struct Task {
    const AttentionBlock* block;
    int split;
    bool first, last;  // of its block
  };
  int64_t count = 0;
  for (const AttentionBlock& block : blocks) count += visible_splits(args, block).count();
  Task* tasks = arena.allocate<Task>(count);
  int64_t made = 0;
  for (const AttentionBlock& block : blocks) {
    const SplitRange splits = visible_splits(args, block);
    for (int split = splits.begin; split < splits.end; ++split) {
      tasks[made++] = {&block, split, split == splits.begin, split + 1 == splits.end};
    }
  }
  const int64_t wave = std::min(count, most_states);
  SoftmaxState* states = arena.allocate<SoftmaxState>(wave);
  for (int64_t i = 0; i < wave; ++i) states[i] = scratch.state();
  SoftmaxState total = scratch.state();  // of the block whose splits are being merged
  const int group = args.heads / args.kv_heads;
  for (int64_t begin = 0; begin < count; begin += wave) {
    const int64_t end = std::min(begin + wave, count);
    std::atomic<int64_t> next{begin};
    pool.run([&](int worker) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < end;) {
        kernels.attend_split(args, *tasks[i].block, tasks[i].split, workspaces[worker].kernel,
                             states[i - begin]);
      }
    });
    for (int64_t i = begin; i < end; ++i) {
      const Task& task = tasks[i];
      if (task.first) {
        std::swap(total, states[i - begin]);
      } else {
        kernels.merge(args, task.block->tokens * group, states[i - begin], total);
      }
      if (task.last) kernels.finish(args, *task.block, total);
    }
  }
}

void attention_fast(CpuStream& stream, Arena& arena, AttentionArgs args,
                    const AttentionKernels& kernels) {
  ArenaScope scope(arena);
  args.width = (args.head_dim + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  ThreadPool& pool = stream.pool();
  const int group = args.heads / args.kv_heads;
  const int block_tokens =
      std::clamp(kernels.rows_per_block / group, 1, std::max(1, args.max_query_len));
  const std::span<const AttentionBlock> blocks = make_blocks(arena, args, block_tokens);
  Scratch scratch(arena, args, kernels, block_tokens * group);
  AttentionWorkspace* workspaces = arena.allocate<AttentionWorkspace>(pool.size());
  for (int worker = 0; worker < pool.size(); ++worker) workspaces[worker] = scratch.workspace();

  const int64_t count = static_cast<int64_t>(blocks.size()), threads = pool.size();
  int64_t tiles = 0, splits = 0;
  for (const AttentionBlock& block : blocks) {
    tiles += int64_t{visible_tiles(args, block)} * (1 + block.tokens * group / 8);
    splits += visible_splits(args, block).count();
  }
  const bool inline_only = threads == 1 || tiles * args.head_dim <= kInlineTiles * 64;
  // Fewer blocks than threads are always split; a few more where that takes one wave.
  const int64_t most_states = std::max<int64_t>(threads * kStateBytes / scratch.state_bytes(), 1);
  const bool few_blocks = count < threads || (count < 4 * threads && splits <= most_states);
  if (!inline_only && few_blocks && splits > count) {
    run_splits(pool, kernels, args, blocks, workspaces, arena, scratch, most_states);
  } else {
    run_blocks(pool, kernels, args, blocks, workspaces, inline_only);
  }
}

}  // namespace

void attention(CpuStream& stream, Arena& scratch, const AttentionArgs& args) {
  if (stream.isa().amx && args.type == KvType::kBF16) {
    attention_fast(stream, scratch, args, attention_kernels_amx());
  } else if (stream.isa().avx512) {
    attention_fast(stream, scratch, args, attention_kernels_avx512());
  } else if (stream.isa().avx2) {
    attention_fast(stream, scratch, args, attention_kernels_avx2());
  } else {
    attention_plain(stream, scratch, args);
  }
}

}  // namespace lmdeploy::cpu
