// The normalizer of sentencepiece: compiled rules, white space, the dummy prefix.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/normalizer.h"
#include "text/sentencepiece_model.h"

namespace lmdeploy {

// `verbatim`: spellings that the rules leave alone (user-defined pieces). `prefix_everywhere`
// false: only a text that begins the input gets the dummy prefix (transformers' "legacy": false).
// kDataLoss when the compiled rules are none.
Result<std::unique_ptr<NormalizerStep>> make_sentencepiece_normalizer(
    SentencepieceNormalizerSpec spec, const std::vector<std::string>& verbatim,
    bool prefix_everywhere);

}  // namespace lmdeploy
