# The CUDA toolchain: nvcc, and cudart linked statically, so that the program starts where there is
# no CUDA. Sources are the .cu and .cc files under folders named cuda/.
enable_language(CUDA)
find_package(CUDAToolkit 12.8 REQUIRED)  # the first with sm_120
# C++20 as for the other sources; CMake before 3.25.2 does not know nvcc's flag for it.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
