#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	kconfig.sh TREE KBUILD FRAGMENT...
#
# Configures KBUILD: what the fragments say, a later one before an earlier one,
# and nothing else. An option that Kconfig did not take as it was asked for
# (something that it depends on is missing, or another one selects it) is an
# error, not a surprise in the guest.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -ge 3 ] || die "usage: kconfig.sh TREE KBUILD FRAGMENT..."
tree=$1 kbuild=$2
shift 2

# asked: one line for each option, as .config would have it.
asked()
{
	awk '
		/^CONFIG_[A-Za-z0-9_]+=/ { name = $0; sub(/=.*/, "", name) }
		/^# CONFIG_[A-Za-z0-9_]+ is not set$/ { name = $2 }
		name != "" {
			if (!(name in line))
				order[++n] = name
			line[name] = $0
			name = ""
		}
		END { for (i = 1; i <= n; i++) print line[order[i]] }' "$@"
}

# got LINE: an option that cannot be set at all is not set either.
got()
{
	grep -qxF -- "$1" "$kbuild/.config" && return
	case $1 in
	'# '*) ! grep -q "^${1:2:-11}=" "$kbuild/.config" ;;
	*) return 1 ;;
	esac
}

mkdir -p "$kbuild"
asked "$@" > "$kbuild/asked.config"
rm -f "$kbuild/.config.old"
for goal in allnoconfig olddefconfig; do
	KCONFIG_ALLCONFIG=$kbuild/asked.config make -s --no-print-directory \
		-C "$tree" O="$kbuild" "$goal" > "$kbuild/config.log" 2>&1 || {
		cat "$kbuild/config.log" >&2
		rm -f "$kbuild/.config"
		die "make $goal failed in $kbuild"
	}
done

lost=()
while read -r option; do
	got "$option" || lost+=("$option")
done < "$kbuild/asked.config"
[ ${#lost[@]} -eq 0 ] || {
	mv -- "$kbuild/.config" "$kbuild/refused.config"
	die "the kernel's configuration did not take (see $kbuild/refused.config):" \
	    "${lost[@]}"
}
