#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	newer-sparse.sh COMMAND		(with CACHE set)
#
# Makes COMMAND a sparse from the archive's newer suites, for a base that needs
# a newer sparse than this machine has. Unpacks it with the C library that it
# needs; nothing is installed.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../source/apt.sh"

readonly PACKAGES='sparse libc6'
readonly LOADER=usr/lib64/ld-linux-x86-64.so.2

# download DIR: run by progress.sh, unpacks the packages in DIR.
download()
{
	local deb

	update_lists newer
	cd "$1"
	# shellcheck disable=SC2086 # a list
	private_apt newer apt-get download $PACKAGES
	for deb in *.deb; do
		dpkg-deb -x "$deb" .
		rm -- "$deb"
	done
	[ -x "$LOADER" ] && [ -x usr/bin/sparse ]
}

[ "$1" != --download ] || { download "$2"; exit; }

command=$1 dir=$1.files
fetch_once "$command" "a newer sparse"
cat > "$command.new" <<EOF
#!/bin/sh
exec "$dir/$LOADER" --library-path "$dir/usr/lib/x86_64-linux-gnu" \\
	"$dir/usr/bin/sparse" "\$@"
EOF
chmod +x "$command.new"
mv -- "$command.new" "$command"
