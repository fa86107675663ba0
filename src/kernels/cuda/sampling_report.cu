#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sampling_select.cuh"

namespace lmdeploy::cuda {

namespace {

// The likeliest tokens, by thread 0.
__device__ void write_top(const RowSelect& select, const LogSoftmax& softmax, SampledToken& out) {
  for (int i = 0; i < select.list_size(); ++i) {
    const uint64_t rank = select.list()[i];
    const float logit = select.infinite() ? INFINITY : rank_logit(rank);
    const float logprob = logprob_of(softmax, logit);
    if (!(logprob > -INFINITY)) break;
    out.top[out.top_count++] = {rank_token(rank), logprob};
  }
}

__global__ void __launch_bounds__(kRowThreads, 2)
    sampling_report_kernel(const __grid_constant__ SamplingReportLaunch report) {
  __shared__ RowSelect::Shared shared;
  wait_for_previous();
  allow_next();
  const int row = static_cast<int>(blockIdx.x);
  SampledToken& out = report.out[row];
  int count = report.logprobs, target = -1;
  if (report.rows != nullptr) {
    const bool active = (report.rows[row].flags & DeviceSamplingRow::kActive) != 0;
    count = active ? report.rows[row].logprobs : -1;
  } else {
    target = report.targets[row];
  }
  if (threadIdx.x == 0) {
    out.token = target;
    out.logprob = 0;
    out.top_count = 0;
  }
  if (count < 0) return;
  RowSelect select(shared, report.logits, row, nullptr, 1.0f);
  LogSoftmax softmax{0, -INFINITY};
  if (select.load(report.block_max + int64_t{row} * kMaxTokenBlocks)) {
    softmax.log_sum = log(select.total(report.raw_sum + int64_t{row} * kMaxTokenBlocks));
    softmax.max = select.infinite() ? INFINITY : select.top();
    if (count > 0) select.cut_by_count(count);
  }
  if (threadIdx.x != 0) return;
  if (report.log_softmax != nullptr) report.log_softmax[row] = softmax;
  if (softmax.max > -INFINITY) write_top(select, softmax, out);
  if (target >= 0 && target < report.logits.vocab) {
    out.logprob = logprob_of(softmax, report.logits.logits[row * report.logits.stride + target]);
  }
}

}  // namespace

cudaError_t launch_sampling_report(const SamplingReportLaunch& report, cudaStream_t stream) {
  return launch(sampling_report_kernel, dim3(static_cast<unsigned>(report.logits.rows)),
                dim3(kRowThreads), 0, stream, true, report);
}

}  // namespace lmdeploy::cuda
