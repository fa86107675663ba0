// Server-sent events: text/event-stream framing.
#pragma once

#include <string>
#include <string_view>

namespace lmdeploy {

inline constexpr std::string_view kSseContentType = "text/event-stream; charset=utf-8";
// Ends an OpenAI stream.
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

// Appends one event: "data: ...\n\n". A line break in `data` starts another data line.
void append_sse_event(std::string& out, std::string_view data);

}  // namespace lmdeploy
