// TLS with a certificate made here, signed by itself.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/http/server_fixture.h"

namespace lmdeploy {
namespace {

// Writes key.pem and cert.pem for 127.0.0.1 into `folder`.
void write_certificate(const std::string& folder) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* alternative =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(certificate, alternative, -1);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* key_file = std::fopen((folder + "/key.pem").c_str(), "w");
  PEM_write_PrivateKey(key_file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(key_file);
  std::FILE* certificate_file = std::fopen((folder + "/cert.pem").c_str(), "w");
  PEM_write_X509(certificate_file, certificate);
  std::fclose(certificate_file);
  X509_EXTENSION_free(alternative);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("lmdeploy_tls_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    write_certificate(folder_);
  }
  void TearDown() override {
    ServerTest::TearDown();
    std::filesystem::remove_all(folder_);
  }
  ServerOptions tls_options() {
    ServerOptions options;
    options.tls_certificate_file = folder_ + "/cert.pem";
    options.tls_key_file = folder_ + "/key.pem";
    return options;
  }
  HttpClient tls_client() {
    return HttpClient({.host = "127.0.0.1",
                       .port = server_->port(),
                       .tls = true,
                       .tls_ca_file = folder_ + "/cert.pem"});
  }
  std::string folder_;
};

TEST_F(TlsTest, RequestsBodiesAndStreams) {
  start(tls_options());
  HttpClient client = tls_client();
  const std::string body(3 << 20, 'b');
  auto echoed = client.post("/echo", body);
  ASSERT_TRUE(echoed.ok()) << echoed.status().message();
  EXPECT_TRUE(echoed->body == body);
  std::thread producer([this] {
    auto writer = next_held();
    for (int i = 0; i < 1000; ++i) writer->write("data: x\n\n");
    writer->write(std::string(500000, 'y'));
    writer->finish();
  });
  auto streamed = client.post("/stream", "{}");
  producer.join();
  ASSERT_TRUE(streamed.ok()) << streamed.status().message();
  EXPECT_EQ(streamed->body.size(), 9000u + 500000u);
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(TlsTest, ClientThatLeavesIsNoticed) {
  start(tls_options());
  Event gone;
  std::thread watcher([&] {
    auto writer = next_held();
    writer->on_close([&gone] { gone.set(); });
    writer->write("first");
    gone.wait(5);
  });
  auto cut =
      tls_client().request("POST", "/stream", "", "", {}, [](std::string_view) { return false; });
  EXPECT_EQ(cut.status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(gone.wait(2));
  watcher.join();
}

TEST_F(TlsTest, PlainBytesAndUnknownCertificatesAreRefused) {
  start(tls_options());
  RawSocket plain = connect();
  plain.send(http_get("/hello"));
  EXPECT_EQ(plain.read_all(3).find("HTTP/1.1"), std::string::npos);
  EXPECT_TRUE(plain.closed());
  HttpClient distrusting({.host = "127.0.0.1", .port = server_->port(), .tls = true});
  EXPECT_FALSE(distrusting.get("/hello").ok());
  EXPECT_EQ(tls_client().get("/hello")->body, "hello");
}

TEST_F(TlsTest, BadFilesAreNamed) {
  ServerOptions options = tls_options();
  options.tls_certificate_file = folder_ + "/missing.pem";
  auto missing = HttpServer::start(options, [](Request, ResponseWriter) {});
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().message().find("missing.pem"), std::string::npos);
  std::ofstream(folder_ + "/key.pem") << "not a key";
  auto damaged = HttpServer::start(tls_options(), [](Request, ResponseWriter) {});
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.status().message().find("key.pem"), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
