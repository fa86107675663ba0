# Third-party libraries, linked statically or used as headers (docs/ARCHITECTURE.md has the reasons).
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)  # headers only: Beast, Asio, JSON (base/json.cc holds its source)

add_library(lmdeploy_headers INTERFACE)
target_include_directories(lmdeploy_headers SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(lmdeploy_headers INTERFACE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL_HO
                           BOOST_JSON_NO_LIB BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(lmdeploy_headers INTERFACE Threads::Threads)

# static_library(TARGET name.a [more.a ...]): an imported target of static archives, in link order.
function(static_library TARGET)
  add_library(${TARGET} INTERFACE)
  foreach(archive ${ARGN})
    string(MAKE_C_IDENTIFIER ARCHIVE_${archive} variable)
    find_library(${variable} NAMES ${archive} REQUIRED)
    target_link_libraries(${TARGET} INTERFACE ${${variable}})
  endforeach()
endfunction()

static_library(third_party_openssl libssl.a libcrypto.a)
static_library(third_party_pcre2 libpcre2-8.a)
static_library(third_party_utf8proc libutf8proc.a)
target_compile_definitions(third_party_pcre2 INTERFACE PCRE2_STATIC PCRE2_CODE_UNIT_WIDTH=8)
target_compile_definitions(third_party_utf8proc INTERFACE UTF8PROC_STATIC)
static_library(third_party_libedit libedit.a libbsd.a libmd.a libtinfo.a)
