#!/bin/sh
# Installs the servers that the tests run, the clients that they are asked with, what counts instructions, and the compiler of
# Protocol Buffers, which etcd's client is built with. Quick when all is there, and safe to run again.
#
#   tests/servers.sh                        Java, ZooKeeper, etcd, Redis, Prometheus, curl, h2load, valgrind, protoc, Chromium with
#                                           its driver, and what the commands of docs/ need, with apt-get (Debian), as root or with
#                                           sudo
#   tests/servers.sh zookeeper-3.4 FOLDER   unpacks ZooKeeper 3.4 of Debian 11 into FOLDER; installs nothing, needs no root
#   tests/servers.sh consul FOLDER          the same with Consul 1.8 of Debian 11, the last release that had it
set -eu

fail() {
    echo "$0: $*" >&2
    exit 1
}

install_missing() {
    missing=""
    command -v java >/dev/null || missing="default-jre-headless"
    [ -e /usr/share/java/zookeeper.jar ] && [ -e /usr/share/java/zookeeper-jute.jar ] || missing="$missing zookeeper"
    command -v etcd >/dev/null || missing="$missing etcd-server"
    command -v etcdctl >/dev/null || missing="$missing etcd-client"
    command -v curl >/dev/null || missing="$missing curl"
    command -v python3 >/dev/null || missing="$missing python3"
    command -v openssl >/dev/null || missing="$missing openssl"
    command -v unshare >/dev/null || missing="$missing util-linux"
    command -v ip >/dev/null || missing="$missing iproute2"
    command -v redis-server >/dev/null || missing="$missing redis-server"
    command -v redis-benchmark >/dev/null || missing="$missing redis-tools"
    command -v h2load >/dev/null || missing="$missing nghttp2-client"
    command -v promtool >/dev/null && command -v prometheus >/dev/null || missing="$missing prometheus"
    command -v valgrind >/dev/null || missing="$missing valgrind"
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v chromedriver >/dev/null || missing="$missing chromium-driver"
    command -v protoc >/dev/null || missing="$missing protobuf-compiler"
    # Where protoc looks for the types that all may use: beside itself, in the folder include.
    [ -e "$(dirname "$(command -v protoc || echo /usr/bin/protoc)")/../include/google/protobuf/descriptor.proto" ] ||
        missing="$missing libprotobuf-dev"
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || fail "please install $missing: there is no apt-get here"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "please run as root: apt-get install -y --no-install-recommends $missing"
        # The environment is not kept by sudo.
        as_root="sudo env DEBIAN_FRONTEND=noninteractive"
    fi
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -q
    # ZooKeeper's package starts no server. Those of etcd, Redis and Prometheus do under systemd; no test uses them, and
    # `systemctl disable --now etcd redis-server prometheus` ends them.
    # shellcheck disable=SC2086 # several words are meant
    $as_root apt-get install -q -y --no-install-recommends $missing
}

# Unpacks a package of Debian 11 into a folder, unless that was done to its end before. It is taken from the mirror that this
# machine uses for Debian, with the lists kept apart from the machine's own.
fetch() {
    package=$1 folder=$2
    # Not by a file of the package: one that was being unpacked when it was interrupted is there, and is not whole.
    [ ! -e "$folder/.$package" ] || return 0
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
    [ -n "$mirror" ] || fail "apt-get knows no mirror of Debian; run apt-get update, or set one up"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$folder"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$work/sources.list"
    apt() {
        apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- \
            -o Dir::State::Lists="$work/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$work/cache" \
            -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
            -o APT::Sandbox::User=root "$@"
    }
    apt update >&2
    (cd "$work" && apt download "$package" >&2)
    dpkg-deb -x "$work/$package"_*.deb "$folder"
    : >"$folder/.$package"
}

case "${1-}" in
"") install_missing ;;
zookeeper-3.4) fetch libzookeeper-java "${2:?the folder to unpack into}" ;;
consul) fetch consul "${2:?the folder to unpack into}" ;;
*) fail "there is no $1; see the head of this file" ;;
esac
