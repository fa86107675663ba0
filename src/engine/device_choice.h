// Which device a model runs on, and with how many CPU threads. Never a silent fall back.
#pragma once

#include <string>

#include "base/log.h"
#include "base/status.h"
#include "tensor/device.h"

namespace lmdeploy {

// `name`: auto, cpu or cuda. auto is CUDA if a driver and a GPU answer, else the CPU. A GPU that this
// program cannot use is an error that names --device cpu.
Result<Device> choose_device(const std::string& name);

// `wanted`, or LMDEPLOY_CPU_THREADS when that is 0, or every usable core. More threads than usable cores
// would wait for each other: the cores are taken, with a warning.
Result<int> cpu_thread_count(int wanted, const Logger& logger);

}  // namespace lmdeploy
