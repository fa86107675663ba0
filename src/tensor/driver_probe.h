// What the NVIDIA driver says, asked through libcuda.so.1 opened at run time: works in any build
// and starts nothing on the GPU.
#pragma once

#include <string>

namespace lmdeploy {

struct DriverProbe {
  bool found = false;      // libcuda.so.1 can be opened
  int devices = 0;         // that it reports; 0 when it does not answer
  int version = 0;         // of CUDA that it supports: 13000 is 13.0
  std::string first_name;  // of GPU 0
};
DriverProbe probe_nvidia_driver();

}  // namespace lmdeploy
