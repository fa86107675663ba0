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
                                  "-O3;-ffp-contract=fast;-Wno-uninitialized;-Wno-maybe-uninitialized;${LMDEPLOY_ISA_${CMAKE_MATCH_1}}")
    endif()
  endforeach()
endfunction()

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
  target_include_directories(lmdeploy_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(lmdeploy_${NAME} PUBLIC lmdeploy_headers)
  foreach(dep ${ARG_DEPS})
    if(TARGET lmdeploy_${dep})
      target_link_libraries(lmdeploy_${NAME} PUBLIC lmdeploy_${dep})
    endif()
  endforeach()
  target_link_libraries(lmdeploy_${NAME} PRIVATE ${ARG_LIBS})
endfunction()

# lmdeploy_tests(FOLDER): tests/FOLDER/**/*_test.cc as one program `FOLDER_tests`, a CTest entry a
# test case. RESOURCES run alone on the machine (timing).
function(lmdeploy_tests FOLDER)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${FOLDER}/*.cc)
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
                             LMDEPLOY_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
                             LMDEPLOY_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  gtest_discover_tests(${FOLDER}_tests DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 900 LABELS unit)
endfunction()
