#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	kconfig.sh TREE KBUILD FRAGMENT...
#
# Configures KBUILD with the options of the fragments, where a later fragment
# overrides an earlier one; all other options are off. Fails if an option did
# not get its value, because a dependency is missing or another option selects
# it.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -ge 3 ] || die "usage: kconfig.sh TREE KBUILD FRAGMENT..."
tree=$1 kbuild=$2
shift 2

# asked FRAGMENT...: print one line for each option, in the form of .config.
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

# got LINE: true if .config has the option so. An option that .config does not
# mention is not set.
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
	die "these options did not get their value," \
	    "see $kbuild/refused.config:" \
	    "${lost[@]}"
}
