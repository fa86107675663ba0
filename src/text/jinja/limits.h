// Bounds of one rendering. A template comes with a model file and is untrusted input.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lmdeploy::jinja {

struct Limits {
  int max_syntax_depth = 100;              // nested blocks or expressions in the source
  size_t max_source_bytes = size_t{4} << 20;
  size_t max_tokens = 400'000;             // of the source; a token and its node take about 300 bytes
  int max_call_depth = 600;                // nested evaluations, macro calls included
  int max_value_nesting = 150;             // lists in lists in dicts ...
  int64_t max_value_weight = 16 << 20;     // values in a value (Value::weight)
  int64_t max_steps = 30'000'000;          // expressions evaluated and items visited
  size_t max_output_bytes = size_t{64} << 20;
  size_t max_memory_bytes = size_t{1} << 30;  // allocated in all over the rendering
  double max_seconds = 10;
};

}  // namespace lmdeploy::jinja
