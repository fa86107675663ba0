#include "engine/rank_group.h"

namespace lmdeploy {

namespace {

int threads_of(const ModelRank& rank) { return static_cast<CpuStream&>(*rank.stream).pool().size(); }

}  // namespace

RankGroup::RankGroup(std::vector<ModelRank> ranks, const RunnerOptions& options)
    : group_(static_cast<int>(ranks.size())),
      team_(static_cast<int>(ranks.size()), {.stride = threads_of(ranks.front())}),
      info_(ranks.front().model->info()),
      kv_dtype_(options.kv_dtype) {
  info_.weight_bytes = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    info_.weight_bytes += ranks[i].model->info().weight_bytes;
    ranks_.push_back(std::make_unique<HostRunner>(std::move(ranks[i].model),
                                                  std::move(ranks[i].stream), options,
                                                  &group_.rank(static_cast<int>(i))));
  }
}

size_t RankGroup::workspace_bytes() const {
  return ranks_.size() * ranks_.front()->workspace_bytes();
}

void RankGroup::use_cache(std::unique_ptr<KvCache> kv) {
  for (size_t i = 1; i < ranks_.size(); ++i) {
    ranks_[i]->use_cache(std::make_unique<KvCache>(kv->groups(), kv->block_tokens(),
                                                   kv->num_blocks(), kv_dtype_, Device{}));
  }
  ranks_.front()->use_cache(std::move(kv));
}

void RankGroup::add_sequence(SequenceId id, const Sequence& sequence) {
  for (const auto& rank : ranks_) rank->add_sequence(id, sequence);
}

void RankGroup::remove_sequence(SequenceId id) {
  for (const auto& rank : ranks_) rank->remove_sequence(id);
}

PromptScores RankGroup::take_prompt_scores(SequenceId id) {
  for (size_t i = 1; i < ranks_.size(); ++i) ranks_[i]->take_prompt_scores(id);
  return ranks_.front()->take_prompt_scores(id);
}

void RankGroup::launch(const StepPlan& plan) {
  team_.run([&](int rank) { ranks_[static_cast<size_t>(rank)]->launch(plan); });
}

}  // namespace lmdeploy
