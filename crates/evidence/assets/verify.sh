#!/bin/sh
# Checks an evidence pack of Proofmark without Proofmark: sh, openssl (3 or later), jq and xxd.
# Public domain (CC0 1.0).
#
#   sh verify.sh [--signer FINGERPRINT] [--tsa-ca CA.pem] [PACK]
#
# FINGERPRINT is the SHA-256 of the signer's public key (SPKI, DER) as it came to you by another
# road. PACK is the folder (default: the one of this script). Take it from a place you trust.
# Prints one line "ok …" or "FAIL …" a check; exit 0 if all passed, 1 if not, 2 if it cannot run.
set -u
LC_ALL=C
export LC_ALL

signer='' tsa_ca=''
case $0 in */*) pack=${0%/*} ;; *) pack=. ;; esac
while [ $# -gt 0 ]; do
    case $1 in
    --signer | --tsa-ca)
        [ $# -ge 2 ] || { echo "verify.sh: $1 needs a value" >&2; exit 2; }
        case $1 in --signer) signer=$2 ;; *) tsa_ca=$2 ;; esac
        shift 2
        ;;
    -*) echo "verify.sh: unknown option $1" >&2; exit 2 ;;
    *) pack=$1; shift ;;
    esac
done
for tool in openssl jq xxd mktemp rm; do
    command -v "$tool" >/dev/null 2>&1 || { echo "verify.sh: $tool is missing" >&2; exit 2; }
done
case $tsa_ca in '' | /*) ;; *) tsa_ca=$PWD/$tsa_ca ;; esac
cd "$pack" 2>/dev/null || { echo "verify.sh: no folder $pack" >&2; exit 2; }
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 2' HUP INT TERM
failures=0

ok() { printf 'ok   %s\n' "$*"; }
fail() { printf 'FAIL %s\n' "$*"; failures=$((failures + 1)); }

# --- small tools -------------------------------------------------------------------------------

# digest of a file, or of standard input
sha() {
    if [ $# -gt 0 ]; then set -- "$(openssl dgst -sha256 -r "$1" 2>/dev/null)"
    else set -- "$(openssl dgst -sha256 -r)"; fi
    printf %s "${1%% *}"
}
unb64() { printf %s "$1" | openssl base64 -d -A; }
b64hex() { unb64 "$1" | xxd -p -c 1000000; }
# base64 has one spelling only
strict64() { [ "$(unb64 "$1" | openssl base64 -A)" = "$1" ]; }
# hashes_of FILE…: one digest a line
hashes_of() {
    openssl dgst -sha256 -r "$@" 2>/dev/null | while IFS= read -r line; do
        printf '%s\n' "${line%% *}"
    done
}
# octal HEX: sets $octal to the bytes as escapes of printf
octal() {
    octal='' rest=$1
    while [ -n "$rest" ]; do
        byte=$((0x${rest%"${rest#??}"})) rest=${rest#??}
        octal="$octal\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))"
    done
}
# hash_lines FROM TO: digests of the byte strings in FROM, each a line of octal escapes
hash_lines() {
    from=$1 to=$2
    : >"$to"
    set --
    while IFS= read -r line; do
        printf "$line" >"$tmp/bytes.$#"
        set -- "$@" "$tmp/bytes.$#"
        if [ $# -eq 400 ]; then
            hashes_of "$@" >>"$to"
            set --
        fi
    done <"$from"
    [ $# -eq 0 ] || hashes_of "$@" >>"$to"
}

# --- manifest ----------------------------------------------------------------------------------

found=0 strange=''
walk() {
    for item in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$item" ]; then strange="$strange ${item#./}"
        elif [ -d "$item" ]; then walk "$item"
        elif [ -f "$item" ]; then
            case ${item#./} in MANIFEST | MANIFEST.sigstore.json) ;; *) found=$((found + 1)) ;; esac
        elif [ -e "$item" ]; then strange="$strange ${item#./}"
        fi
    done
}
check_manifest() {
    bad='' listed=0
    : >"$tmp/stated"
    : >"$tmp/actual"
    set --
    while IFS= read -r line || [ -n "$line" ]; do
        path=${line#*  }
        case $path in
        '' | /* | -* | .* | */.* | */-* | *//* | */ | *[!A-Za-z0-9._/-]*)
            bad="$bad strange:$path"; continue ;;
        esac
        listed=$((listed + 1))
        if [ -L "$path" ] || [ ! -f "$path" ]; then bad="$bad missing:$path"; continue; fi
        printf '%s\n' "$line" >>"$tmp/stated"
        set -- "$@" "$path"
        if [ $# -eq 400 ]; then
            openssl dgst -sha256 -r "$@" >>"$tmp/actual"
            set --
        fi
    done <MANIFEST
    [ $# -eq 0 ] || openssl dgst -sha256 -r "$@" >>"$tmp/actual"
    exec 3<"$tmp/actual"
    while IFS= read -r line; do
        path=${line#*  } actual=''
        IFS= read -r actual <&3
        [ "${line%%  *} *$path" = "$actual" ] || bad="$bad changed:$path"
    done <"$tmp/stated"
    exec 3<&-
    jq -Rse 'split("\n")[:-1] | map(.[66:]) | length > 0 and . == unique' MANIFEST \
        >/dev/null 2>&1 || bad="$bad unsorted-or-twice"
    walk .
    [ -z "$strange" ] || bad="$bad no-plain-file:$strange"
    [ "$found" -eq "$listed" ] || bad="$bad ($found files found, $listed listed)"
    if [ -z "$bad" ]; then ok "manifest: $listed files"; else fail "manifest:$bad"; fi
}

# --- signed statements -------------------------------------------------------------------------

# check_bundle FILE: writes the payload to $tmp/payload if all is well
check_bundle() {
    jq -Rsr --arg k "$fingerprint" '
        . as $raw | fromjson | .dsseEnvelope as $e
        | {dsseEnvelope: {payload: $e.payload, payloadType: "application/vnd.in-toto+json",
                          signatures: [{keyid: $k, sig: $e.signatures[0].sig}]},
           mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
           verificationMaterial: {publicKey: {hint: $k}}}
        | if tojson == $raw then $e.payload, $e.signatures[0].sig else error("form") end' \
        "$1" >"$tmp/parts" 2>/dev/null || return 1
    { IFS= read -r payload && IFS= read -r sig; } <"$tmp/parts" || return 1
    unb64 "$payload" >"$tmp/payload"
    unb64 "$sig" >"$tmp/sig"
    [ "$(openssl base64 -A -in "$tmp/payload")" = "$payload" ] || return 1
    [ "$(openssl base64 -A -in "$tmp/sig")" = "$sig" ] || return 1
    length=$((${#payload} / 4 * 3))
    case $payload in *==) length=$((length - 2)) ;; *=) length=$((length - 1)) ;; esac
    { printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$length"; unb64 "$payload"; } \
        >"$tmp/pae"
    openssl dgst -sha256 -verify keys/statement.pub.pem -signature "$tmp/sig" "$tmp/pae" \
        >/dev/null 2>&1 || return 1
    jq -e '._type == "https://in-toto.io/Statement/v1"' "$tmp/payload" >/dev/null 2>&1
}
check_signer() {
    fingerprint=$(openssl pkey -pubin -in keys/statement.pub.pem -outform DER 2>/dev/null | sha)
    if [ -z "$signer" ]; then ok "signer: $fingerprint, not authenticated (no --signer given)"
    elif [ "$signer" = "$fingerprint" ]; then ok "signer: $fingerprint, as expected"
    else fail "signer: signed by $fingerprint, expected $signer"; fi
}
check_seal() {
    if check_bundle MANIFEST.sigstore.json && jq -e --arg d "$(sha MANIFEST)" '
        .predicateType == "urn:proofmark:predicate:pack:v1"
        and .subject == [{digest: {sha256: $d}, name: "MANIFEST"}]' "$tmp/payload" >/dev/null
    then
        ok "manifest signature"
        if jq -e '.predicate.demo == true' "$tmp/payload" >/dev/null; then
            ok "note: signed with a throw-away DEMO key"
        fi
    else fail "manifest signature"; fi
}
check_attestations() {
    : >"$tmp/attested"
    for file in attestations/*; do
        [ -f "$file" ] || continue
        name=${file#attestations/}
        case $name in
        *.sigstore.json) name=${name%.sigstore.json} ;;
        *) fail "attestations: $name does not belong here"; continue ;;
        esac
        if check_bundle "$file"; then
            digest=$(sha "$tmp/payload")
            unb64 "$payload" >"$tmp/statement-$digest"
            printf '%s %s\n' "$name" "$digest" >>"$tmp/attested"
            ok "attestation $name: statement $digest"
        else fail "attestation $name"; fi
    done
    jq -Rn 'reduce (inputs | split(" ")) as $line ({}; .[$line[0]] = $line[1])' "$tmp/attested" \
        >"$tmp/attested.json"
}

# --- log ---------------------------------------------------------------------------------------

# hexadecimal to octal escapes, as a definition for jq
jq_octal='
    def digit: if . >= 97 then . - 87 else . - 48 end;
    def octal: explode | [range(0; length; 2) as $i
        | (.[$i] | digit) * 16 + (.[$i + 1] | digit)
        | "\\\(. / 64 | floor)\(. / 8 % 8 | floor)\(. % 8)"] | join("");'
# load_vkey FILE: name, key id and key of an Ed25519 verifier key
load_vkey() {
    IFS= read -r vkey <"$1" || return 1
    vname=${vkey%%+*} rest=${vkey#*+}
    vid=${rest%%+*} vkey64=${rest#*+}
    strict64 "$vkey64" || return 1
    typed=$(b64hex "$vkey64")
    case $typed in 01*) vpub=${typed#01} ;; *) return 1 ;; esac
    [ ${#vpub} -eq 64 ] || return 1
    id=$({ printf '%s\n\001' "$vname"; printf %s "$vpub" | xxd -r -p; } | sha)
    [ "$vid" = "${id%"${id#????????}"}" ]
}
# signed_by TEXTFILE LINE PEM: whether LINE is a signature of the loaded vkey over the text
signed_by() {
    dash=$(printf '\342\200\224')
    case $2 in "$dash $vname "*) blob=${2#"$dash $vname "} ;; *) return 1 ;; esac
    strict64 "$blob" || return 1
    hex=$(b64hex "$blob")
    [ ${#hex} -eq 136 ] && [ "${hex%"${hex#????????}"}" = "$vid" ] || return 1
    printf %s "${hex#????????}" | xxd -r -p >"$tmp/notesig"
    openssl pkeyutl -verify -rawin -pubin -inkey "$3" -in "$1" -sigfile "$tmp/notesig" \
        >/dev/null 2>&1
}
# open_checkpoint FILE: sets origin, size, root (hex) if the log's key signed it
open_checkpoint() {
    {
        IFS= read -r origin && IFS= read -r size && IFS= read -r root64 && IFS= read -r blank \
            && IFS= read -r sigline
    } <"$1" || return 1
    [ -z "$blank" ] && [ "$origin" = "$vname" ] && strict64 "$root64" || return 1
    case $size in 0) ;; '' | 0* | *[!0-9]*) return 1 ;; esac
    printf '%s\n%s\n%s\n' "$origin" "$size" "$root64" >"$tmp/text"
    root=$(b64hex "$root64")
    signed_by "$tmp/text" "$sigline" keys/log.pub.pem
}
# root_of N: sets $found_root to the root over the first N leaf hashes (RFC 6962, section 2.1)
root_of() {
    jq -Rn --argjson n "$1" '[limit($n; inputs)] | if length == $n then .[] else error end' \
        -r "$tmp/leaves" >"$tmp/level" 2>/dev/null || return 1
    if [ "$1" -eq 0 ]; then found_root=$(printf '' | sha); return 0; fi
    nodes=$1
    while [ "$nodes" -gt 1 ]; do
        # pairs are hashed, an odd last one moves up as it is
        jq -Rnr "$jq_octal"'
            [inputs] as $h | range(0; ($h | length) - 1; 2)
            | "\\001" + ($h[.] | octal) + ($h[. + 1] | octal)' "$tmp/level" >"$tmp/pairs"
        hash_lines "$tmp/pairs" "$tmp/upper"
        if [ $((nodes % 2)) -eq 1 ]; then
            while IFS= read -r line; do :; last=$line; done <"$tmp/level"
            printf '%s\n' "$last" >>"$tmp/upper"
        fi
        while IFS= read -r line; do printf '%s\n' "$line"; done <"$tmp/upper" >"$tmp/level"
        nodes=$(((nodes + 1) / 2))
    done
    IFS= read -r found_root <"$tmp/level"
}
# tile_suffix INDEX WIDTH: file name of a tile (C2SP tlog-tiles)
tile_suffix() {
    index=$1 name=''
    prefix=''
    while :; do
        group=$((index % 1000)) index=$((index / 1000))
        case $group in ?) group=00$group ;; ??) group=0$group ;; esac
        name=$prefix$group${name:+/$name}
        prefix=x
        [ "$index" -gt 0 ] || break
    done
    [ "$2" -eq 256 ] || name=$name.p/$2
    printf %s "$name"
}
check_log() {
    log_size=-1
    if ! load_vkey keys/log.vkey || [ "$(openssl pkey -pubin -in keys/log.pub.pem -outform DER \
        2>/dev/null | xxd -p -c 1000)" != "302a300506032b6570032100$vpub" ]; then
        fail "log key: keys/log.vkey and keys/log.pub.pem do not agree"
        return
    fi
    log_vname=$vname log_vid=$vid log_vpub=$vpub
    if ! open_checkpoint log/checkpoint; then fail "log: checkpoint signature"; return; fi
    log_root=$root
    : >"$tmp/leaves"
    : >"$tmp/entries"
    tile=0
    while [ $((tile * 256)) -lt "$size" ]; do
        width=$((size - tile * 256))
        [ "$width" -le 256 ] || width=256
        file=log/tile/entries/$(tile_suffix "$tile" "$width")
        [ -f "$file" ] || { fail "log: $file is missing"; return; }
        # big-endian 16-bit length, then the entry
        xxd -p -c 1000000 "$file" | jq -Rsr --argjson width "$width" "$jq_octal"'
            def number: explode | reduce .[] as $c (0; . * 16 + ($c | digit));
            split("\n") | join("") as $hex
            | {at: 0, out: []}
            | until(.at >= ($hex | length);
                ($hex[.at:.at + 4] | number) as $n
                | .at as $from | .out += [$hex[$from + 4:$from + 4 + 2 * $n]]
                | .at += 4 + 2 * $n)
            | if .at == ($hex | length) and (.out | length) == $width then .out[] | octal
              else error("bundle") end' >"$tmp/bundle" 2>/dev/null \
            || { fail "log: $file is damaged"; return; }
        while IFS= read -r line; do
            printf "$line\\n" >>"$tmp/entries"
            printf '%s\n' "\\000$line"
        done <"$tmp/bundle" >"$tmp/prefixed"
        hash_lines "$tmp/prefixed" "$tmp/hashes"
        while IFS= read -r line; do printf '%s\n' "$line"; done <"$tmp/hashes" >>"$tmp/leaves"
        tile=$((tile + 1))
    done
    if root_of "$size" && [ "$found_root" = "$root" ]; then
        log_size=$size
        ok "log: $size entries of $origin give the signed root"
    else fail "log: the entries do not give the signed root"; fi
}

# --- proofs and order --------------------------------------------------------------------------

# check_proof NAME: inclusion of the entry in the proof; the entry goes to $tmp/leaf
check_proof() {
    # strict base64 to octal escapes: the entry, then the path; checkpoint compared as it stands
    jq -Rsr --arg checkpoint "$checkpoint" '
        def sextet: if . >= 97 and . <= 122 then . - 71 elif . >= 65 and . <= 90 then . - 65
            elif . >= 48 and . <= 57 then . + 4 elif . == 43 then 62 elif . == 47 then 63
            else error("base64") end;
        def bytes: (if endswith("==") then 2 elif endswith("=") then 1 else 0 end) as $pad
            | (if length % 4 == 0 then . else error("base64") end)
            | .[:length - $pad] | explode | map(sextet) | . as $v
            | [range(0; length; 4) as $i
                | $v[$i] * 262144 + $v[$i + 1] * 4096 + ($v[$i + 2] // 0) * 64 + ($v[$i + 3] // 0)
                | (. / 65536 | floor), (. / 256 | floor) % 256, . % 256]
            | if .[length - $pad:] == [range($pad) | 0] then .[:length - $pad]
              else error("base64") end;
        def octal: map("\\\(. / 64 | floor)\(. / 8 % 8 | floor)\(. % 8)") | join("");
        index("\n\n") as $cut
        | if .[$cut + 2:] != $checkpoint then error("checkpoint") else .[:$cut] end
        | split("\n")
        | if .[0] != "c2sp.org/tlog-proof@v1" or (.[1] | startswith("extra ") | not)
            or (.[2] | startswith("index ") | not) then error("form") else . end
        | .[2][6:], (.[1][6:] | bytes | octal),
          (.[3:][] | bytes | if length == 32 then octal else error("hash") end)' \
        "proofs/$1.tlog-proof" >"$tmp/proof" 2>/dev/null || return 1
    exec 3<"$tmp/proof"
    IFS= read -r index <&3
    IFS= read -r line <&3
    case $index in 0) ;; '' | 0* | *[!0-9]*) exec 3<&-; return 1 ;; esac
    [ "$index" -lt "$log_size" ] || { exec 3<&-; return 1; }
    printf "$line" >"$tmp/leaf"
    hash=$(printf "\\000$line" | sha)
    at=$index last=$((log_size - 1)) good=yes
    while IFS= read -r sibling <&3; do
        [ "$last" -gt 0 ] || { good=no; break; }
        octal "$hash"
        if [ $((at % 2)) -eq 1 ] || [ "$at" -eq "$last" ]; then
            hash=$(printf "\\001$sibling$octal" | sha)
            while [ $((at % 2)) -eq 0 ] && [ "$at" -ne 0 ]; do
                at=$((at / 2)) last=$((last / 2))
            done
        else hash=$(printf "\\001$octal$sibling" | sha); fi
        at=$((at / 2)) last=$((last / 2))
    done
    exec 3<&-
    [ "$good" = yes ] && [ "$last" -eq 0 ] && [ "$hash" = "$log_root" ]
}
check_proofs() {
    checkpoint=$(jq -Rsj . log/checkpoint; printf x)
    checkpoint=${checkpoint%x}
    for file in proofs/*; do
        [ -f "$file" ] || continue
        name=${file#proofs/}
        case $name in
        *.tlog-proof) name=${name%.tlog-proof} ;;
        *) fail "proofs: $name does not belong here"; continue ;;
        esac
        if ! check_proof "$name"; then fail "proof $name"
        elif ! jq -e --arg n "$name" --slurpfile a "$tmp/attested.json" \
            '.format == "proofmark.entry/1" and .statement == $a[0][$n]' "$tmp/leaf" >/dev/null 2>&1
        then fail "proof $name: the entry is about another statement"
        else ok "proof $name: $(jq -r .kind "$tmp/leaf") at $index of $log_size"; fi
    done
    for file in attestations/*.sigstore.json; do
        [ -f "$file" ] || continue
        name=${file#attestations/}
        name=${name%.sigstore.json}
        [ -f "proofs/$name.tlog-proof" ] || fail "proof $name: missing"
    done
}
check_order() {
    [ "$log_size" -ge 0 ] || return
    jq -s 'to_entries | map(.value + {index: .key})' "$tmp/entries" >"$tmp/log.json" 2>/dev/null \
        && jq -e --argjson n "$log_size" 'length == $n
            and all(.[]; .format == "proofmark.entry/1")' "$tmp/log.json" >/dev/null \
        || { fail "entries: one is not a log entry"; return; }
    jq -r --slurpfile a "$tmp/attested.json" '
        ($a[0] | [.[]]) as $attested
        | def in_pack: . as $s | $s != null and ($attested | index([$s])) != null;
        . as $log
        | (map(select((.kind == "result" or .kind == "verdict" or .kind == "run-start")
                and .run == null)) | map("entry \(.index) names no run")) as $stray
        | [.[] | select((.kind == "result" or .kind == "verdict") and (.statement | in_pack))]
            as $cited
        | ($cited | map(.run) | unique | map(select(. != null))) as $runs
        | $stray
          + (if any($cited[]; .kind == "result") then [] else ["no result in the pack"] end)
          + [$runs[] as $run
             | [$log[] | select(.run == $run)] as $of
             | [$of[] | select(.kind == "run-start")] as $starts
             | [$of[] | select(.kind == "result" or .kind == "verdict")] as $results
             | $starts[0].plan as $plan
             | ([$log[] | select(.kind == "plan" and .statement == $plan and $plan != null)][0])
                as $planned
             | "run \($run): " + (
                 if $plan == null then "no start that names its plan"
                 elif any($starts[]; .plan != $plan) then "its starts name different plans"
                 elif $planned == null then "its plan is not in the log"
                 elif $planned.index >= $starts[0].index then "started before its plan"
                 elif ($plan | in_pack | not) then "its plan is not in the pack"
                 elif any($results[]; .index <= $starts[0].index) then "a result before its start"
                 else empty end)]
        | .[]' "$tmp/log.json" >"$tmp/faults" 2>&1 || echo "cannot be read" >>"$tmp/faults"
    if [ -s "$tmp/faults" ]; then
        while IFS= read -r line; do fail "order: $line"; done <"$tmp/faults"
    else ok "order: plan, then run start, then results, by index"; fi
    ok "entries: $(jq -r '"\(map(select(.kind == "plan")) | length) plans and " +
        "\(map(.run // empty) | unique | length) runs in the log, never ended: " +
        "\(((map(select(.kind == "run-start") | .run) | unique)
            - (map(select(.kind == "run-end") | .run) | unique)) | length)"' "$tmp/log.json")"
    jq -r '.[] | select(.kind == "tombstone") | .artefact' "$tmp/log.json" >"$tmp/erased"
    while IFS= read -r digest; do
        if [ -e "artefacts/$digest" ]; then fail "artefact $digest: erased, yet here"
        else ok "artefact $digest: erased"; fi
    done <"$tmp/erased"
}

# --- anchors -----------------------------------------------------------------------------------

check_anchors() {
    [ "$log_size" -ge 0 ] || return
    anchors=0
    for file in anchors/*.checkpoint; do
        [ -f "$file" ] || continue
        anchors=$((anchors + 1))
        stem=${file%.checkpoint} name=${file#anchors/}
        name=${name%.checkpoint}
        vname=$log_vname vid=$log_vid
        if ! open_checkpoint "$file"; then fail "anchor $name: checkpoint signature"; continue; fi
        if [ "$size" -gt "$log_size" ] || ! root_of "$size" \
            || [ "$found_root" != "$root" ]; then
            fail "anchor $name: the log does not extend the anchored checkpoint"
            continue
        fi
        if [ -f "$stem.tsr" ]; then check_stamp; else check_cosignature; fi
    done
    [ "$anchors" -gt 0 ] \
        || ok "anchors: none, the order of plan and run is attested by the provider's key only"
}
check_stamp() {
    if [ -n "$tsa_ca" ]; then
        if openssl ts -verify -in "$stem.tsr" -data "$file" -CAfile "$tsa_ca" >/dev/null 2>&1
        then ok "anchor $name: time stamp over $size entries verified"
        else fail "anchor $name: time stamp"; fi
        return
    fi
    imprint=$(sha "$file")
    case $(xxd -p -c 1000000 "$stem.tsr") in
    *0609608648016503040201*0420"$imprint"*)
        ok "anchor $name: time stamp over this checkpoint of $size entries; its signature is" \
            "not verified (give --tsa-ca)" ;;
    *) fail "anchor $name: the time stamp is over something else" ;;
    esac
}
check_cosignature() {
    # load_vkey replaces vname and vid; the text of the checkpoint is still in $tmp/text
    if load_vkey "$stem.vkey" && IFS= read -r line <"$stem.cosig" \
        && printf '302a300506032b6570032100%s' "$vpub" | xxd -r -p \
        | openssl pkey -pubin -inform DER -out "$tmp/witness.pem" 2>/dev/null \
        && [ "$vpub" != "$log_vpub" ] \
        && signed_by "$tmp/text" "$line" "$tmp/witness.pem"
    then ok "anchor $name: $size entries co-signed by $vkey"
    else fail "anchor $name: co-signature"; fi
}

# --- facts -------------------------------------------------------------------------------------

# check_facts FACTS PAGE: every fact stands in its statement, every figure of the page is its fact
check_facts() {
    facts=$1 page=$2
    jq -e 'type == "object" and all(.[]; (.text | type) == "string")' "$facts" >/dev/null 2>&1 \
        || { fail "facts: $facts is damaged"; return; }
    bad=$(jq -r --slurpfile a "$tmp/attested.json" '
        ($a[0] | [.[]]) as $known | to_entries[] | .value.statement as $s
        | select(($known | index([$s])) == null) | .key' "$facts")
    for digest in $(jq -r '.[]' "$tmp/attested.json"); do
        bad="$bad$(jq -r --arg s "$digest" '
            def steps: split("/") | .[1:]
                | map(split("~1") | join("/") | split("~0") | join("~"));
            def step($key):
                if type == "object" and has($key) then {found: .[$key]}
                elif type == "array" and any(range(length); tostring == $key)
                then {found: .[$key | tonumber]} else null end;
            def follow($p): reduce ($p | steps)[] as $key
                ({found: $payload[0]}; if . == null then null else .found | step($key) end);
            to_entries[] | select(.value.statement == $s)
            | select((.value.pointer | follow(.)) as $at
                | $at == null or $at.found != .value.value)
            | .key' --slurpfile payload "$tmp/statement-$digest" "$facts" 2>&1)"
    done
    if [ -z "$bad" ]; then ok "facts: $(jq length "$facts") of $facts resolve"
    else fail "facts: $facts: not in their statements:" $bad; fi
    jq -Rsr --slurpfile f "$facts" '
        $f[0] as $facts
        | split("data-fact") as $parts
        | (if (ascii_downcase | split("data-fact") | length) != ($parts | length)
           then "malformed" else empty end),
          ([range(1; $parts | length) as $i
            | $parts[$i - 1] as $before | $parts[$i] as $after
            | if ($before | endswith("[")) and ($after | startswith("]")) then empty
              else ($after[2:] | split("\"")[0]) as $id
              | if ($before | endswith("<span ")) and $facts[$id] != null
                    and ($after | startswith("=\"" + $id + "\">" + $facts[$id].text + "</span>"))
                then {shown: $id} else {bad: ($after[:60] | tojson)} end
              end]
           | (.[] | .bad // empty),
             (($facts | keys) - map(.shown // empty) | .[] | "not shown: " + .))
        ' "$page" >"$tmp/faults" 2>&1 || echo "cannot be read" >>"$tmp/faults"
    if [ -s "$tmp/faults" ]; then
        while IFS= read -r line; do fail "$page: $line"; done <"$tmp/faults"
    else ok "$page: every figure is its fact"; fi
}
check_papers() {
    for file in papers/*; do
        [ -f "$file" ] || continue
        case $file in
        *.html) check_facts "${file%.html}.facts.json" "$file" ;;
        *.facts.json) [ -f "${file%.facts.json}.html" ] || fail "papers: $file belongs to no page" ;;
        *.pdf) [ -f "${file%.pdf}.html" ] || fail "papers: $file belongs to no page" ;;
        *) fail "papers: $file belongs to no page" ;;
        esac
    done
}
check_artefacts() {
    bad=''
    for file in artefacts/*; do
        [ -f "$file" ] || continue
        [ "$(sha "$file")" = "${file#artefacts/}" ] || bad="$bad ${file#artefacts/}"
    done
    if [ -z "$bad" ]; then ok "artefacts: digests fit"; else fail "artefacts:$bad"; fi
}

check_manifest
if [ -n "$strange" ]; then
    echo "not consistent: links or special files, nothing else was read"
    exit 1
fi
check_signer
check_seal
check_attestations
check_log
if [ "$log_size" -ge 0 ]; then check_proofs; fi
check_order
check_anchors
check_facts data/facts.json report.html
check_papers
check_artefacts
if [ "$failures" -gt 0 ]; then
    echo "not consistent: $failures checks failed"
    exit 1
elif [ -n "$signer" ]; then echo "consistent; signed by $fingerprint"
else echo "consistent; signer not authenticated"; fi
