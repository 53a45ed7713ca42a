#!/bin/bash
# interop/install.sh: the third-party clients the interop matrix runs against, from Debian and PyPI.
# Starts no service, may be run again at any time, and does nothing when all is there. Needs root (or sudo).
# libtorrent goes to a Python venv under ${UNCHOKE_PEERS:-$HOME/.cache/unchoke-peers}.
set -euo pipefail

peers=${UNCHOKE_PEERS:-$HOME/.cache/unchoke-peers}
declare -A package=(
  [transmission-daemon]=transmission-daemon [transmission-remote]=transmission-cli
  [qbittorrent-nox]=qbittorrent-nox [aria2c]=aria2 [opentracker]=opentracker
  [mktorrent]=mktorrent [curl]=curl [ip]=iproute2 [python3]=python3
)

missing=()
for program in "${!package[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
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

echo "interop peers: $("$peers/lt/bin/python" -c 'import libtorrent as l; print("libtorrent", l.__version__)'), $(aria2c --version | head -1), $(transmission-daemon --version 2>&1 | head -1), $(qbittorrent-nox --version 2>/dev/null | head -1)"
