#!/bin/bash
# interop/install.sh: the third-party clients the interop matrix runs against, from Debian, PyPI, npm and crates.io.
# Starts no service, may be run again at any time, and does nothing when all is there. Needs root (or sudo), and cargo.
# libtorrent (a Python venv), bittorrent-dht and the mainline crate's program go to
# ${UNCHOKE_PEERS:-$HOME/.cache/unchoke-peers}.
#
#   interop/install.sh           what the matrix needs
#   interop/install.sh --rqbit   and rqbit, which only comparisons use: it is built from crates.io, for many minutes
set -euo pipefail

peers=${UNCHOKE_PEERS:-$HOME/.cache/unchoke-peers}
declare -A package=(
  [transmission-daemon]=transmission-daemon [transmission-remote]=transmission-cli
  [qbittorrent-nox]=qbittorrent-nox [aria2c]=aria2 [opentracker]=opentracker
  [mktorrent]=mktorrent [curl]=curl [ip]=iproute2 [python3]=python3 [node]=nodejs [npm]=npm
)

missing=()
for program in "${!package[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
wants_rqbit=false
if [ "${1:-}" = --rqbit ] && [ ! -x "$peers/rqbit/bin/rqbit" ]; then
  wants_rqbit=true
  # Its TLS is built against the system's OpenSSL.
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
fi
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

if ((${#missing[@]})); then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  # Debian starts a daemon when its package arrives; this file forbids it while we install.
  guard=/usr/sbin/policy-rc.d
  if [ ! -e $guard ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $guard >/dev/null
    "${as_root[@]}" chmod +x $guard
    trap '"${as_root[@]}" rm -f $guard' EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! "$peers/lt/bin/python" -c 'import libtorrent' 2>/dev/null; then
  mkdir -p "$peers"
  python3 -m venv "$peers/lt"
  "$peers/lt/bin/pip" install -q --disable-pip-version-check libtorrent
fi

# Its releases after this one need not speak to our driver.
if [ ! -e "$peers/npm/node_modules/bittorrent-dht/package.json" ]; then
  mkdir -p "$peers/npm"
  npm install --prefix "$peers/npm" --silent --no-fund --no-audit --ignore-scripts bittorrent-dht@11
fi

# Cargo does nothing when the program is up to date.
cargo build --quiet --release --locked --manifest-path "${BASH_SOURCE[0]%/*}/mainline/Cargo.toml" \
  --target-dir "$peers/mainline"

if $wants_rqbit; then
  cargo install rqbit --quiet --locked --no-default-features --features default-tls --root "$peers/rqbit"
fi

echo "interop peers: $("$peers/lt/bin/python" -c 'import libtorrent as l; print("libtorrent", l.__version__)'), $(aria2c --version | head -1), $(transmission-daemon --version 2>&1 | head -1), $(qbittorrent-nox --version 2>/dev/null | head -1), bittorrent-dht $(node -p 'require(process.argv[1]).version' "$peers/npm/node_modules/bittorrent-dht/package.json"), mainline crate"
