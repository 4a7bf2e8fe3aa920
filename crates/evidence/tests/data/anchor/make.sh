#!/bin/sh
# Makes checkpoint.tsr: a time stamp over `checkpoint` by a throw-away authority of OpenSSL 3.
# The checkpoint is the text of a log of 3 entries signed by a throw-away key; run from this folder.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/tsa.cnf" <<'CNF'
[ req ]
distinguished_name = dn
prompt = no
x509_extensions = ext
[ dn ]
C = EU
O = Throw-away Time
CN = DEMO time-stamping authority
[ ext ]
extendedKeyUsage = critical,timeStamping
keyUsage = digitalSignature
[ tsa ]
default_tsa = tsa1
[ tsa1 ]
serial = $ENV::WORK/serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.55555.1.2
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_alg = sha256
CNF
export WORK="$work"
echo 1A2B > "$work/serial"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 \
    -config "$work/tsa.cnf" -keyout "$work/tsa.key" -out ca.pem 2>/dev/null
openssl ts -query -data checkpoint -sha256 -cert -out "$work/q.tsq" 2>/dev/null
openssl ts -reply -config "$work/tsa.cnf" -queryfile "$work/q.tsq" -inkey "$work/tsa.key" \
    -signer ca.pem -out checkpoint.tsr 2>/dev/null
openssl ts -verify -in checkpoint.tsr -data checkpoint -CAfile ca.pem
