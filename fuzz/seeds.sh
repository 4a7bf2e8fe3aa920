#!/bin/sh
# Seeds every target from the files of the tests: fuzz/seeds.sh [FOLDER], by default fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
to=${1:-fuzz/corpus}
boosted=crates/engine/tests/boosted
tables=crates/dataset/tests/it/golden/containers
arrays=crates/formats/tests/fixtures
seed() {
    mkdir -p "$to/$1"
    target=$1
    shift
    cp "$@" "$to/$target/"
}
seed onnx $arrays/*.onnx crates/engine/tests/zoo/skl_*.onnx
seed model crates/engine/tests/zoo/*.onnx
seed npy $arrays/*.npy
seed npz $arrays/*.npz
seed idx $arrays/*.idx $arrays/*.idx.gz
seed gzip $arrays/*.gz
seed sniff $arrays/* $boosted/*.ubj $tables/*.parquet $tables/*.arrow
seed xgboost_json $boosted/xgboost_*[a-z0-9].json
rm -f "$to"/xgboost_json/*.dump.json
seed xgboost_dump $boosted/*.dump.json crates/proofmark/tests/trees/dump.json
seed ubjson $boosted/*.ubj
seed lightgbm $boosted/*.txt crates/proofmark/tests/trees/gbm.txt
seed catboost $boosted/catboost_*.json
seed csv $tables/*.csv crates/dataset/tests/it/golden/*.csv examples/credit/validation.csv
seed jsonl $tables/*.jsonl
seed parquet $tables/*.parquet
seed arrow_ipc $tables/*.arrow $tables/*.arrows
seed images crates/dataset/tests/it/golden/folder/*.png crates/dataset/tests/it/golden/folder/*.jpg
seed policy examples/credit/guard.toml
mkdir -p "$to/libsvm" "$to/guard_json" "$to/guard_oip" "$to/relation" "$to/endpoint"
printf 'if `a b` = 1.5e3 then not (c < 2 or d = "x") else 0 <= e <= min(f, -g ^ 2)' >"$to/relation/all"
printf 'ratio = open / max(total, 1)' >"$to/relation/equal"
oip='{"outputs":[{"name":"p","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}'
printf '\000%s' "$oip" >"$to/endpoint/oip"
printf '\040{"a":[{"no":0.25,"yes":0.75}]}' >"$to/endpoint/json"
printf '\030{"outputs":[{"name":"d","datatype":"BYTES","shape":[1],"data":["yes"]}]}' >"$to/endpoint/label"
printf '\000{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,1,2,3]}]}' >"$to/endpoint/image"
mkdir -p "$to/vnnlib"
head='(declare-const X_0 Real)(declare-const Y_0 Real)(assert (and (<= X_0 1.5) (>= X_0 -1e-3)))'
printf '%s(assert (<= Y_0 0))' "$head" >"$to/vnnlib/plain"
printf '%s(assert (or (not (> (* 2 Y_0) X_0)) (and (<= (+ Y_0 1) 0) (<= X_0 .5))))' "$head" >"$to/vnnlib/or"
mkdir -p "$to/libsvm" "$to/guard_json" "$to/guard_oip"
printf '1 1:0.5 3:2\n-1 qid:2 2:1e3 # said\n0 1:nan 2:-0\n' >"$to/libsvm/sparse"
printf '0 0:1 1:2 2:3\n1 0:4 1:5 2:6\n' >"$to/libsvm/full"
printf '1,0 5:1\n' >"$to/libsvm/labels"
row='"age":30,"amount":250.5,"job":"skilled","owner":"yes"'
printf '{"features":{%s}}' "$row" >"$to/guard_json/one"
printf '{"rows":[{%s},{%s}]}' "$row" "$row" >"$to/guard_json/two"
printf '{"features":{%s},"id":"a-1"}' "$row" >"$to/guard_json/named"
tensor() { printf '{"name":"%s","datatype":"%s","shape":[1,1],"data":[%s]}' "$1" "$2" "$3"; }
inputs=$(tensor age INT64 30),$(tensor amount FP32 250.5),$(tensor job BYTES '"none"'),$(tensor owner BOOL true)
printf '\377\377{"id":"1","inputs":[%s]}' "$inputs" >"$to/guard_oip/json"
binary='{"name":"amount","datatype":"FP32","shape":[1,1],"parameters":{"binary_data_size":4}}'
inputs=$(tensor age INT64 30),$binary,$(tensor job BYTES '"none"'),$(tensor owner BOOL true)
head="{\"inputs\":[$inputs]}"
# The length of the JSON as two bytes, the low one first.
low=$(printf '%o' $((${#head} % 256)))
high=$(printf '%o' $((${#head} / 256)))
printf "\\$low\\$high%s\\000\\000\\200\\077" "$head" >"$to/guard_oip/binary"
