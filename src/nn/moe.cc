#include "nn/moe.h"

#include "nn/float_load.h"
#include "nn/matrix_load.h"

namespace lmdeploy {
namespace {

// Every rank has all of it.
BuildOptions whole(BuildOptions options) {
  options.parallel = {};
  return options;
}

// What the checkpoint has, of the forms that hold the same.
std::pair<ExpertForm, ExpertNames> stored_form(const Weights& weights, const BuildOptions& options,
                                               const MoeConfig& config) {
  const Weights experts = weights / "experts";
  if (config.form == ExpertForm::kSeparate && options.has(experts / "gate_up_proj")) {
    return {ExpertForm::kStacked, {.gate = "gate_up_proj", .up = "", .down = "down_proj"}};
  }
  if (config.form == ExpertForm::kInputFirst &&
      options.has(experts / (config.names.gate + "_blocks"))) {
    return {ExpertForm::kMxfp4, config.names};
  }
  return {config.form, config.names};
}

}  // namespace

ExpertProjection::ExpertProjection(int experts, int64_t n, int64_t k)
    : matrices_{.experts = experts, .n = n, .k = k, .parts = {}} {}

Status ExpertProjection::store(int expert, const ExpertSlices& slices, const BuildOptions& options,
                               const std::string& name) {
  const bool on_cpu = options.device.is_cpu();
  std::call_once(allocated_, [&] {
    matrices_.parts.resize(on_cpu ? static_cast<size_t>(matrices_.experts) : 1);
    if (on_cpu) return;
    const Shape shape{matrices_.experts * matrices_.n, matrices_.k};
    matrices_.parts[0] =
        row_major_matrix(options.memory->allocate(shape, options.activation_type()));
  });
  if (on_cpu) {
    ASSIGN_OR_RETURN(matrices_.parts[static_cast<size_t>(expert)],
                     load_matrix(slices.slices, slices.orders, options, name));
    return {};
  }
  const TensorView& all = matrices_.parts[0].storage;
  return load_rows(slices.slices, slices.orders, options,
                   all.rows(expert * matrices_.n, matrices_.n), name);
}

MoeMlp::MoeMlp(const Weights& weights, const BuildOptions& options, const MoeConfig& config)
    : config_(config),
      router_(weights, whole(options), config.hidden, {{config.router, config.experts}},
              Split::kRows, config.router_bias),
      gate_up_(config.experts, 2 * options.parallel.share(config.intermediate), config.hidden),
      down_(config.experts, config.hidden, options.parallel.share(config.intermediate)) {
  const auto [form, names] = stored_form(weights, options, config);
  const ExpertShape shape{.experts = config.experts,
                          .hidden = config.hidden,
                          .size = config.intermediate,
                          .begin = options.parallel.begin(config.intermediate),
                          .count = options.parallel.share(config.intermediate)};
  const auto reader = std::make_shared<const ExpertReader>(weights, form, names, shape);
  declare_experts(weights, options, reader);
  if (config.expert_bias) declare_biases(weights, options, reader);
  if (config.correction != nullptr) declare_correction(weights, options);
  if (config.shared_intermediate > 0) {
    shared_ = std::make_unique<GatedMlp>(weights / config.shared, options,
                                         GatedMlpConfig{.hidden = config.hidden,
                                                        .intermediate = config.shared_intermediate,
                                                        .activation = config.activation});
  }
  if (config.shared_gate != nullptr) {
    shared_gate_ = std::make_unique<Linear>(weights, whole(options), config.hidden,
                                            std::vector<Projection>{{config.shared_gate, 1}},
                                            Split::kRows, Bias::kNone);
  }
}

void MoeMlp::declare_experts(const Weights& weights, const BuildOptions& options,
                             std::shared_ptr<const ExpertReader> reader) {
  for (int e = 0; e < config_.experts; ++e) {
    for (const bool of_down : {false, true}) {
      Load load;
      load.name = reader->name() + "." + std::to_string(e) + (of_down ? ".down" : ".gate+up");
      load.sources = of_down ? reader->down_sources(e) : reader->gate_up_sources(e);
      load.store = [this, e, of_down, options, reader,
                    name = load.name](std::span<const LoadedSlice> loaded) {
        ASSIGN_OR_RETURN(const ExpertSlices slices,
                         of_down ? reader->down(loaded) : reader->gate_up(loaded));
        return (of_down ? down_ : gate_up_).store(e, slices, options, name);
      };
      load.bytes = [of_down, options, reader](std::span<const LoadedSlice> loaded) {
        return packed_load_bytes(reader->shapes(of_down, loaded[0].dtype), options);
      };
      weights.plan().add(std::move(load));
    }
  }
}

void MoeMlp::declare_biases(const Weights& weights, const BuildOptions& options,
                            std::shared_ptr<const ExpertReader> reader) {
  const int64_t experts = config_.experts, size = config_.intermediate, hidden = config_.hidden;
  Load gate_up;
  gate_up.sources = {reader->gate_up_bias()};
  gate_up.name = gate_up.sources[0].tensor;
  gate_up.store = [this, options, reader, experts, size](std::span<const LoadedSlice> loaded) {
    std::vector<float> stored(static_cast<size_t>(experts * 2 * size)), own;
    RETURN_IF_ERROR(copy_floats(loaded[0], stored.data()));
    const ExpertShape& shape = reader->shape();
    for (int64_t e = 0; e < experts; ++e) {
      for (int64_t first : {0, 1}) {
        for (int64_t i = shape.begin; i < shape.begin + shape.count; ++i) {
          own.push_back(stored[static_cast<size_t>((e * size + i) * 2 + first)]);
        }
      }
    }
    gate_up_bias_ = float_tensor(own, Shape{experts, 2 * shape.count}, options);
    return Status();
  };
  weights.plan().add(std::move(gate_up));

  Load down;
  down.sources = {reader->down_bias()};
  down.name = down.sources[0].tensor;
  down.store = [this, options, experts, hidden](std::span<const LoadedSlice> loaded) {
    std::vector<float> stored(static_cast<size_t>(experts * hidden));
    RETURN_IF_ERROR(copy_floats(loaded[0], stored.data()));
    if (options.parallel.rank > 0) return Status();  // the first rank adds it
    down_bias_ = float_tensor(stored, Shape{experts, hidden}, options);
    return Status();
  };
  weights.plan().add(std::move(down));
}

void MoeMlp::declare_correction(const Weights& weights, const BuildOptions& options) {
  Load load;
  load.name = (weights / config_.router / config_.correction).name();
  load.sources = {{load.name, Shape{config_.experts}}};
  load.store = [this, options](std::span<const LoadedSlice> loaded) {
    std::vector<float> values(static_cast<size_t>(config_.experts));
    RETURN_IF_ERROR(copy_floats(loaded[0], values.data()));
    correction_ = float_tensor(values, Shape{config_.experts}, options);
    return Status();
  };
  weights.plan().add(std::move(load));
}

MoeShared MoeMlp::shared(const Step& step, const TensorView& x) const {
  if (shared_ == nullptr) return {};
  MoeShared shared{.rows = step.activations(config_.hidden), .gate = {}};
  shared_->forward_part(step, x, shared.rows);
  if (shared_gate_ != nullptr) {
    shared.gate = step.ctx.scratch.allocate(Shape{x.dim(0), 1}, DType::kF32);
    shared_gate_->forward(step.ctx, x, shared.gate);
  }
  return shared;
}

void MoeMlp::forward(const Step& step, const TensorView& x, const TensorView& out,
                     MatmulEpilogue epilogue) const {
  Ctx& ctx = step.ctx;
  ArenaScope scope(ctx.scratch);
  const int64_t tokens = x.dim(0), top_k = config_.routing.top_k;
  const TensorView logits = ctx.scratch.allocate(Shape{tokens, config_.experts}, DType::kF32);
  const TensorView ids = ctx.scratch.allocate(Shape{tokens, top_k}, DType::kI32);
  const TensorView weights = ctx.scratch.allocate(Shape{tokens, top_k}, DType::kF32);
  router_.forward(ctx, x, logits);
  moe_route(ctx, logits, correction_, config_.routing, ids, weights);
  // Ranks add their parts of all these MLPs' sums up; the first one brings what `out` has.
  const bool first = ctx.ranks == nullptr || ctx.ranks->rank() == 0;
  moe_mlp(ctx, x, ids, weights,
          {gate_up_.matrices(), down_.matrices(), gate_up_bias_.view(), down_bias_.view(),
           config_.activation},
          shared(step, x), out, first ? epilogue : MatmulEpilogue::kStore);
  if (ctx.ranks != nullptr) ctx.ranks->all_reduce(ctx.stream, out);
}

size_t MoeMlp::bytes() const {
  size_t sum = router_.bytes() + gate_up_.bytes() + down_.bytes() + gate_up_bias_.bytes() +
               down_bias_.bytes() + correction_.bytes();
  if (shared_ != nullptr) sum += shared_->bytes();
  if (shared_gate_ != nullptr) sum += shared_gate_->bytes();
  return sum;
}

SparseMlp::SparseMlp(const Weights& weights, const BuildOptions& options,
                     const SparseMlpConfig& config) {
  if (config.moe.has_value()) {
    moe_ = std::make_unique<MoeMlp>(weights, options, *config.moe);
  } else {
    dense_ = std::make_unique<GatedMlp>(weights, options, config.dense);
  }
}

void SparseMlp::forward(const Step& step, const TensorView& x, const TensorView& out,
                        MatmulEpilogue epilogue) const {
  if (moe_ != nullptr) return moe_->forward(step, x, out, epilogue);
  dense_->forward(step, x, out, epilogue);
}

}  // namespace lmdeploy
