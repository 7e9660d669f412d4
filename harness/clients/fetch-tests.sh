#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	fetch-tests.sh DIR
#
# Copies rdma-core's tests to DIR. Debian has them in the documentation of
# python3-pyverbs, which a small installation leaves out: then take them from
# the package itself.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../source/apt.sh"

readonly DOC=usr/share/doc/rdma-core/tests

[ $# -ge 1 ] || die "usage: fetch-tests.sh DIR"
dir=$1

# from_package: unpack the tests to $dir.new.
from_package()
{
	cd "$dir.new"
	update_lists own
	private_apt own apt-get download python3-pyverbs
	dpkg-deb --fsys-tarfile ./*.deb |
		tar -xf - --strip-components=6 "./$DOC"
	rm -f ./*.deb
}

if [ "$dir" = --unpack ]; then
	dir=$2
	from_package
	exit
fi
rm -rf -- "$dir" "$dir.new"
mkdir -p "$dir.new"
if ! cp -- "/$DOC"/*.py* "$dir.new/" 2> /dev/null; then
	"${0%/*}/../progress.sh" "fetching rdma-core's tests" "$dir.log" \
		"$0" --unpack "$dir" || exit "$BUILD_FAILED"
fi
find "$dir.new" -name '*.gz' -exec gunzip -f {} +
[ -f "$dir.new/test_odp.py" ] || die "python3-pyverbs has no test_odp.py"
# Their own one imports every test, and the programs that these need.
: > "$dir.new/__init__.py"
mv -- "$dir.new" "$dir"
