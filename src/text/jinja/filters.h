// The filters of jinja2 and transformers' own `tojson`, by name.
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "text/jinja/evaluator.h"
#include "text/jinja/functions.h"

namespace lmdeploy::jinja {

using FilterFunction = Result<Value> (*)(Evaluator&, const Value& input, Arguments& arguments);
using FilterEntry = std::pair<std::string_view, FilterFunction>;

// nullptr when there is none of that name.
FilterFunction find_filter(std::string_view name);

// The parts of the table, a file each.
std::span<const FilterEntry> text_filters();      // upper, trim, replace, tojson, ...
std::span<const FilterEntry> number_filters();    // int, float, round, abs, ...
std::span<const FilterEntry> sequence_filters();  // join, list, sort, batch, ...
std::span<const FilterEntry> select_filters();    // map, select, groupby, ...

// The item of `object` that a filter's `attribute` names: a key, an index, or a path "a.b.0".
Result<Value> attribute_path(Evaluator& evaluator, const Value& object, const Value& attribute);

}  // namespace lmdeploy::jinja
