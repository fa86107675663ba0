#include "cli/line_reader.h"

#include <histedit.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace lmdeploy::cli {

namespace {
constexpr int kHistoryEntries = 1000;
}

struct LineReader::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string history_path;
  std::string prompt;
};

LineReader::LineReader(std::string history_path) : state_(new State) {
  state_->history_path = std::move(history_path);
  state_->editor = el_init("lmdeploy", stdin, stdout, stderr);
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, kHistoryEntries);
  if (!state_->history_path.empty()) history(state_->history, &event, H_LOAD, state_->history_path.c_str());
  el_set(state_->editor, EL_CLIENTDATA, state_);
  el_set(state_->editor, EL_PROMPT, +[](EditLine* editor) -> char* {
    State* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return state->prompt.data();
  });
  el_set(state_->editor, EL_HIST, history, state_->history);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_SIGNAL, 1);  // the terminal's mode is put right on Ctrl-C and Ctrl-Z
}

LineReader::~LineReader() {
  HistEvent event;
  if (!state_->history_path.empty()) history(state_->history, &event, H_SAVE, state_->history_path.c_str());
  history_end(state_->history);
  el_end(state_->editor);
  delete state_;
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  state_->prompt = prompt;
  int count = 0;
  errno = 0;
  const char* line = el_gets(state_->editor, &count);
  if (line == nullptr || count <= 0) {
    if (count < 0 && errno == EINTR) return std::string();
    return std::nullopt;
  }
  std::string text(line, static_cast<size_t>(count));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

void LineReader::remember(const std::string& entry) {
  HistEvent event;
  history(state_->history, &event, H_ENTER, entry.c_str());
}

std::string state_file(const std::string& name) {
  const char* state_home = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state_home != nullptr && *state_home != '\0') {
    folder = state_home;
  } else if (home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".local" / "state";
  } else {
    return {};
  }
  folder /= "lmdeploy";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : (folder / name).string();
}

}  // namespace lmdeploy::cli
