#include "cli/line_reader.h"

#include <histedit.h>
#include <langinfo.h>

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace lmdeploy::cli {

namespace {
constexpr int kHistoryEntries = 1000;
}

struct LineReader::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string history_path;
  std::string prompt;
  bool cancelled = false;

  static State* of(EditLine* editor) {
    State* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return state;
  }
};

namespace {

// Ctrl-Z. libedit's own handler would raise the signal again with it blocked in this thread, so
// that the stop came late and the terminal's mode was lost.
unsigned char stop_program(EditLine* editor, int) {
  struct sigaction stop {
  }, saved{};
  stop.sa_handler = SIG_DFL;
  sigaction(SIGTSTP, &stop, &saved);
  el_set(editor, EL_PREP_TERM, 0);
  kill(0, SIGTSTP);  // returns after fg
  sigaction(SIGTSTP, &saved, nullptr);
  el_set(editor, EL_PREP_TERM, 1);
  return CC_REDISPLAY;
}

}  // namespace

void use_utf8_input() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

LineReader::LineReader(std::string history_path) : state_(new State) {
  state_->history_path = std::move(history_path);
  state_->editor = el_init("lmdeploy", stdin, stdout, stderr);
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, kHistoryEntries);
  history(state_->history, &event, H_SETUNIQUE, 1);
  if (!state_->history_path.empty()) {
    history(state_->history, &event, H_LOAD, state_->history_path.c_str());
  }
  EditLine* editor = state_->editor;
  el_set(editor, EL_CLIENTDATA, state_);
  el_set(
      editor, EL_PROMPT, +[](EditLine* e) { return State::of(e)->prompt.data(); });
  el_set(editor, EL_HIST, history, state_->history);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 1);  // the terminal's mode is put right on stop, continue and resize
  // While a line is edited, Ctrl-C and Ctrl-Z are keys and no signals.
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_set(
      editor, EL_ADDFN, "cancel-line", "Drop the line", +[](EditLine* e, int) -> unsigned char {
        State::of(e)->cancelled = true;
        return CC_NEWLINE;
      });
  el_set(editor, EL_ADDFN, "stop-program", "Back to the shell", stop_program);
  el_set(editor, EL_BIND, "^C", "cancel-line", nullptr);
  el_set(editor, EL_BIND, "^Z", "stop-program", nullptr);
}

LineReader::~LineReader() {
  HistEvent event;
  if (!state_->history_path.empty()) {
    history(state_->history, &event, H_SAVE, state_->history_path.c_str());
  }
  history_end(state_->history);
  el_end(state_->editor);
  delete state_;
}

LineReader::Input LineReader::read(const std::string& prompt) {
  state_->prompt = prompt;
  state_->cancelled = false;
  int count = 0;
  el_set(state_->editor, EL_PREP_TERM, 1);  // before the prompt shows, so that no key comes early
  const char* line = el_gets(state_->editor, &count);
  if (state_->cancelled) {
    std::fputs("^C\n", stdout);
    return {Event::kCancelled, {}};
  }
  if (line == nullptr || count <= 0) return {Event::kEnd, {}};
  std::string text(line, static_cast<size_t>(count));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  HistEvent event;
  if (!text.empty()) history(state_->history, &event, H_ENTER, text.c_str());
  return {Event::kLine, std::move(text)};
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
