// Ctx: what every op gets first. Ops take views of the same device as the stream, allocate only from
// `scratch`, do not synchronize and return nothing: a wrong shape is a CHECK.
#pragma once

#include "comm/communicator.h"
#include "tensor/arena.h"
#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace lmdeploy {

struct Ctx {
  Stream& stream;
  Arena& scratch;
  // --batch-invariant: a row's result does not depend on the other rows or on their number, to the bit.
  // On the CPU only matmul of block types with AMX needs it; every other result is always so.
  bool batch_invariant = false;
  // Of a tensor-parallel group; nullptr: this rank is alone.
  Communicator* ranks = nullptr;
  bool on_cpu() const { return stream.device().is_cpu(); }
};

// On the CPU all activations are fp32 (weights and the KV cache keep their own types).
inline CpuStream& cpu_stream(Ctx& ctx) { return static_cast<CpuStream&>(ctx.stream); }

}  // namespace lmdeploy
