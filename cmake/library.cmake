# lmdeploy_library(NAME DEPS a b LIBS x y): the folder src/NAME as a static library `lmdeploy_NAME`.
# DEPS are lower folders (the architecture diagram; tests/structure checks the includes against it),
# LIBS are third-party targets. cpu/ is always built, cuda/ or none/ by LMDEPLOY_CUDA.
# A source named *_avx2.cc, *_avx512.cc, *_avx512vnni.cc, *_avx512bf16.cc or *_amx.cc gets that
# instruction set; nothing else does, so the program runs on any x86-64. (GCC 12 takes the undefined
# operands inside its own intrinsics for uninitialized variables.)
set(LMDEPLOY_ISA_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(LMDEPLOY_ISA_avxvnni ${LMDEPLOY_ISA_avx2} -mavxvnni)
set(LMDEPLOY_ISA_avx512 ${LMDEPLOY_ISA_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
set(LMDEPLOY_ISA_avx512vnni ${LMDEPLOY_ISA_avx512} -mavx512vnni)
set(LMDEPLOY_ISA_avx512bf16 ${LMDEPLOY_ISA_avx512vnni} -mavx512bf16)
set(LMDEPLOY_ISA_amx ${LMDEPLOY_ISA_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)

function(lmdeploy_isa_flags)
  foreach(source ${ARGN})
    if(source MATCHES "_(avx2|avxvnni|avx512|avx512vnni|avx512bf16|amx)\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
                                  "${LMDEPLOY_ISA_OPTIMIZE};-ffp-contract=fast;-Wno-uninitialized;-Wno-maybe-uninitialized;${LMDEPLOY_ISA_${CMAKE_MATCH_1}}")
    endif()
  endforeach()
endfunction()

set(LMDEPLOY_SANITIZED_O1 kernels sched text)

function(lmdeploy_library NAME)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  set(folder ${CMAKE_SOURCE_DIR}/src/${NAME})
  if(LMDEPLOY_CUDA)
    set(device cuda)
  else()
    set(device none)
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc ${folder}/*.cu)
  if(LMDEPLOY_CUDA)
    list(FILTER sources EXCLUDE REGEX "/none/")
  else()
    list(FILTER sources EXCLUDE REGEX "/cuda/")
  endif()
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT sources)
    return()
  endif()
  lmdeploy_isa_flags(${sources})
  add_library(lmdeploy_${NAME} STATIC ${sources})
  if(LMDEPLOY_CUDA AND EXISTS ${folder}/cuda)
    target_link_libraries(lmdeploy_${NAME} PUBLIC CUDA::cudart_static)
  endif()
  target_include_directories(lmdeploy_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  if(LMDEPLOY_SANITIZE AND NAME IN_LIST LMDEPLOY_SANITIZED_O1)
    target_compile_options(lmdeploy_${NAME} PRIVATE -O1)
  endif()
  target_link_libraries(lmdeploy_${NAME} PUBLIC lmdeploy_headers)
  foreach(dep ${ARG_DEPS})
    if(TARGET lmdeploy_${dep})
      target_link_libraries(lmdeploy_${NAME} PUBLIC lmdeploy_${dep})
    endif()
  endforeach()
  target_link_libraries(lmdeploy_${NAME} PRIVATE ${ARG_LIBS})
endfunction()

# lmdeploy_tests(FOLDER): tests/FOLDER/**/*_test.cc as one program `FOLDER_tests`, a CTest entry a
# test case. Tests run in the root of the checkout (so that no compiled file holds its path).
function(lmdeploy_tests FOLDER)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${FOLDER}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/cuda/")
  if(NOT sources OR NOT TARGET lmdeploy_${FOLDER})
    return()
  endif()
  add_executable(${FOLDER}_tests ${sources})
  target_include_directories(${FOLDER}_tests PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${FOLDER}_tests PRIVATE lmdeploy_${FOLDER} ${ARG_LIBS} GTest::gtest
                        GTest::gtest_main)
  foreach(dep ${ARG_DEPS})
    if(TARGET lmdeploy_${dep})
      target_link_libraries(${FOLDER}_tests PRIVATE lmdeploy_${dep})
    endif()
  endforeach()
  target_compile_definitions(${FOLDER}_tests PRIVATE
                             LMDEPLOY_TEST_DATA="tests/data" LMDEPLOY_SOURCE_DIR=".")
  gtest_discover_tests(${FOLDER}_tests WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 900 LABELS unit)
endfunction()

# lmdeploy_cuda_tests(): every tests/*/cuda/*_test.cc as one program `cuda_tests`; CTest entries only
# where a GPU answers.
function(lmdeploy_cuda_tests)
  if(NOT LMDEPLOY_CUDA)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/*/cuda/*_test.cc)
  add_executable(cuda_tests ${sources} ${CMAKE_SOURCE_DIR}/tests/models/golden.cc
                 ${CMAKE_SOURCE_DIR}/tests/models/batch_runner.cc
                 ${CMAKE_SOURCE_DIR}/tests/engine/tiny_model.cc)
  target_include_directories(cuda_tests PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(cuda_tests PRIVATE lmdeploy_engine GTest::gtest GTest::gtest_main)
  target_compile_definitions(cuda_tests PRIVATE
                             LMDEPLOY_TEST_DATA="tests/data" LMDEPLOY_SOURCE_DIR=".")
  execute_process(COMMAND nvidia-smi -L OUTPUT_VARIABLE gpus ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND gpus MATCHES "GPU 0")
    gtest_discover_tests(cuda_tests WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTIES TIMEOUT 900 LABELS cuda)
  endif()
endfunction()
