# Debian 12 packages, by purpose; sourced by deploy/quickstart and tests/run. Installing asks nothing and starts nothing.
packages_build="build-essential cmake ninja-build pkg-config libssl-dev libexpat1-dev libnng-dev libhiredis-dev libpq-dev
  libmicrohttpd-dev libuv1-dev libprotobuf-c-dev protobuf-c-compiler libicu-dev libyaml-dev libcurl4-openssl-dev libjansson-dev
  uthash-dev"
packages_run="postgresql-15 redis-server openssl python3 python3-slixmpp procps"
packages_test="clang clang-format libclang-rt-14-dev llvm libcmocka-dev python3-openssl git curl jq tmux profanity testssl.sh sslscan
  go-sendxmpp sendxmpp libstrophe-dev libnet-xmpp-perl bsdextrautils dnsutils valgrind nftables iproute2 strace faketime redis-sentinel"

# install_packages NAME...: only what is missing. Needs root (or sudo without a password) only then.
install_packages() {
  local missing=() as_root=()
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || { echo "error: apt-get is missing; these packages are needed: ${missing[*]}" >&2; return 1; }
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || { echo "error: root is needed to install: ${missing[*]}" >&2; return 1; }
    as_root=(sudo -n)
  fi
  echo "installing ${#missing[@]} packages: ${missing[*]}"
  # A server package must not start its own service here: ours are private.
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod 755 "$policy" && made_policy=1
  fi
  local log result=0
  log=$(mktemp)
  { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Options::=--force-confold install --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1 </dev/null || result=1
  [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"
  [ $result = 0 ] || { tail -5 "$log" >&2; echo "error: the packages could not be installed: ${missing[*]}" >&2; }
  rm -f "$log"
  return $result
}
