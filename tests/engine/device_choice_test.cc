#include "engine/device_choice.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "base/thread_pool.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

TEST(DeviceChoice, NamesAreChecked) {
  const Result<Device> cpu = choose_device("cpu");
  ASSERT_TRUE(cpu.ok());
  EXPECT_TRUE(cpu->is_cpu());
  EXPECT_NE(choose_device("rocm").status().message().find("expected auto, cpu or cuda"), std::string::npos);
}

TEST(DeviceChoice, NeverFallsBackInSilence) {
  const CudaProbe probe = probe_cuda();
  const Result<Device> automatic = choose_device("auto"), cuda = choose_device("cuda");
  if (probe.devices == 0) {
    ASSERT_TRUE(automatic.ok());
    EXPECT_TRUE(automatic->is_cpu());
  }
  EXPECT_EQ(cuda.ok(), probe.devices > 0 && probe.built_in);
  if (!cuda.ok()) {
    EXPECT_NE(cuda.status().message().find("--device cpu"), std::string::npos);
  }
}

// Counts threads with LMDEPLOY_CPU_THREADS set to `variable` (null: unset); what is logged.
class ThreadCount : public ::testing::Test {
 protected:
  ~ThreadCount() override { ::unsetenv("LMDEPLOY_CPU_THREADS"); }

  Result<int> count(int wanted, const char* variable = nullptr) {
    if (variable != nullptr) {
      ::setenv("LMDEPLOY_CPU_THREADS", variable, 1);
    } else {
      ::unsetenv("LMDEPLOY_CPU_THREADS");
    }
    const std::string path = directory_.write("log", "");
    const Result<Logger> logger = Logger::to_file(path, LogLevel::kWarning);
    Result<int> threads = cpu_thread_count(wanted, *logger);
    std::ostringstream log;
    log << std::ifstream(path).rdbuf();
    log_ = log.str();
    return threads;
  }

  TemporaryDirectory directory_;
  std::string log_;
};

TEST_F(ThreadCount, OptionThenVariableThenCores) {
  EXPECT_EQ(*count(0), usable_cores());
  EXPECT_EQ(*count(0, "1"), 1);
  EXPECT_EQ(*count(0, ""), usable_cores());
  EXPECT_EQ(*count(1, std::to_string(usable_cores()).c_str()), 1);
  EXPECT_EQ(log_, "");
}

TEST_F(ThreadCount, NoMoreThanTheCores) {
  EXPECT_EQ(*count(1024), usable_cores());
  EXPECT_NE(log_.find("--cpu-threads is 1024"), std::string::npos) << log_;
  EXPECT_EQ(*count(0, "1024"), usable_cores());
  EXPECT_NE(log_.find("LMDEPLOY_CPU_THREADS is 1024"), std::string::npos) << log_;
}

TEST_F(ThreadCount, NonsenseIsAnError) {
  for (const char* text : {"many", "0", "-1", "1025", "2x", "99999999999"}) {
    EXPECT_NE(count(0, text).status().message().find("LMDEPLOY_CPU_THREADS"), std::string::npos) << text;
  }
  EXPECT_FALSE(count(1025).ok());
}

}  // namespace
}  // namespace lmdeploy
