#include "kernels/sampling.h"

#include "kernels/cpu/sampling.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

void check_row(const SamplingRow& row, size_t index, int64_t vocab) {
  CHECK(row.logprobs <= kMaxLogprobs, "sample: row {} asks for {} logprobs; at most {}", index,
        row.logprobs, kMaxLogprobs);
  CHECK(row.allowed_mask.empty() || static_cast<int64_t>(row.allowed_mask.size()) * 32 >= vocab,
        "sample: row {} has an allowed_mask of {} words; expected {} for {} tokens", index,
        row.allowed_mask.size(), (vocab + 31) / 32, vocab);
}

}  // namespace

void sample(Ctx& ctx, const TensorView& logits, std::span<const SamplingRow> rows,
            std::span<SampledToken> out) {
  check_on_cpu(ctx, "sample");
  check_view(ctx, "sample", "logits", logits, DType::kF32,
             {static_cast<int64_t>(rows.size()), kAnySize});
  CHECK(out.size() == rows.size() && logits.dim(1) > 0, "sample: {} rows of {} logits, {} results",
        rows.size(), logits.dim(1), out.size());
  for (size_t r = 0; r < rows.size(); ++r) check_row(rows[r], r, logits.dim(1));
  cpu::sample(cpu_stream(ctx), ctx.scratch, logits, rows, out);
}

void token_logprobs(Ctx& ctx, const TensorView& logits, std::span<const int32_t> targets,
                    std::span<float> out) {
  check_on_cpu(ctx, "token_logprobs");
  check_view(ctx, "token_logprobs", "logits", logits, DType::kF32,
             {static_cast<int64_t>(targets.size()), kAnySize});
  CHECK(out.size() == targets.size(), "token_logprobs: {} targets, {} results", targets.size(),
        out.size());
  for (size_t r = 0; r < targets.size(); ++r) {
    CHECK(targets[r] >= 0 && targets[r] < logits.dim(1),
          "token_logprobs: target {} of row {} is not in [0, {})", targets[r], r, logits.dim(1));
  }
  cpu::token_logprobs(cpu_stream(ctx), logits, targets, out);
}

}  // namespace lmdeploy
