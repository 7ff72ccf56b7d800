#!/bin/sh
# need.sh TOOL...: says which of the tools are missing, and the Debian package of each.
status=0

missing() {
    echo "missing: $1 (apt-get install $2)" >&2
    status=1
}

java_release() {
    javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p'
}

for tool in "$@"; do
    case $tool in
    python)
        "${PYTHON:-python3}" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            missing "Python 3.11 or later with venv; PYTHON=... names another one" "python3 python3-venv"
        ;;
    node)
        { node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' &&
            npm --version; } >/dev/null 2>&1 ||
            missing "Node.js 20.19 or later with npm" "nodejs npm, if they are that new"
        ;;
    java)
        [ "$(java_release)" -ge 17 ] 2>/dev/null ||
            missing "a Java development kit, 17 or later" "openjdk-17-jdk-headless"
        ;;
    compiler) command -v cc >/dev/null || missing "a C compiler" "gcc libc6-dev" ;;
    maven) command -v mvn >/dev/null || missing "Maven" "maven" ;;
    chromium) [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing "Chromium; CHROMIUM=... names another one" "chromium" ;;
    compose)
        command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 ||
            missing "Docker Compose" "docker-compose"
        ;;
    *) echo "need.sh: unknown tool: $tool" >&2; exit 2 ;;
    esac
done
exit $status
