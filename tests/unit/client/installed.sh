#!/bin/sh
# Goal: a stranger can build against the installed library, in C and C++, with pkg-config and with
#       find_package, shared and static, and gets no name but those of quorder.h.
# Method: install into a fresh prefix, build the two examples there in each way, run them.
#
#   installed.sh SOURCE_DIR BUILD_DIR CC CFLAGS
set -eu

source_dir=$1
build_dir=$2
cc=$3
cflags=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
examples=$source_dir/src/client/examples

cmake --install "$build_dir" --component client --prefix "$prefix" >"$work/install.log"
libdir=$(dirname "$(find "$prefix" -name quorder.pc)")
libdir=$(dirname "$libdir")
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH

# Says what it did, and fails with the program's words.
expect_usage() {
    status=0
    LD_LIBRARY_PATH=$libdir "$1" 2>"$work/said" || status=$?
    if [ "$status" -ne 2 ] || ! grep -q '^usage: ' "$work/said"; then
        echo "$1: status $status" >&2
        cat "$work/said" >&2
        exit 1
    fi
}

# 1. pkg-config, strictly C99; then static.
for example in move_order follow_feed; do
    # shellcheck disable=SC2046,SC2086
    "$cc" $cflags -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror \
        "$examples/$example.c" $(pkg-config --cflags --libs quorder) -pthread \
        -o "$work/$example-shared"
    expect_usage "$work/$example-shared"
    # shellcheck disable=SC2046,SC2086
    "$cc" $cflags -std=c99 -D_POSIX_C_SOURCE=200809L "$examples/$example.c" \
        $(pkg-config --cflags quorder) "$libdir/libquorder.a" \
        $(pkg-config --libs-only-l --static quorder | sed 's/-lquorder//') -o "$work/$example-static"
    expect_usage "$work/$example-static"
done

# 2. find_package.
mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(stranger C)
find_package(quorder 0.1 REQUIRED)
set(CMAKE_C_STANDARD 99)
add_executable(move_order "$examples/move_order.c")
target_link_libraries(move_order PRIVATE quorder::quorder)
add_executable(follow_feed "$examples/follow_feed.c")
target_link_libraries(follow_feed PRIVATE quorder::static)
END
cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$cflags -D_POSIX_C_SOURCE=200809L" >"$work/cmake.log"
cmake --build "$work/project/build" >"$work/build.log"
expect_usage "$work/project/build/move_order"
expect_usage "$work/project/build/follow_feed"

# 3. The header in C++, where there is a compiler.
if command -v c++ >/dev/null; then
    printf '#include <quorder.h>\nint main() { return qo_code_name(QO_CODE_OK) == 0; }\n' \
        >"$work/header.cpp"
    # shellcheck disable=SC2046
    c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
        $(pkg-config --cflags quorder) "$work/header.cpp"
fi

# 4. No other name leaves the libraries, and the header declares each that does.
{
    nm -D --defined-only "$libdir/libquorder.so"
    nm -g --defined-only "$libdir/libquorder.a"
} | awk 'NF == 3 { print $3 }' | sort | uniq -c >"$work/names"
while read -r count name; do
    if [ "$count" -ne 2 ] || ! grep -q "\\b$name(" "$source_dir/include/quorder.h"; then
        echo "$name: in $count of 2 libraries, or not of quorder.h" >&2
        exit 1
    fi
done <"$work/names"
echo "installed: $(wc -l <"$work/names") names"
