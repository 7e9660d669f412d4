# SPDX-License-Identifier: GPL-2.0
# Reads file=rows (see there) and file=output (what hmm-bench wall printed);
# prints time ratios and waits for people. Nothing here is passed or failed: what
# a busy machine did not let it measure is named. Only if that is all, it fails.

BEGIN {
	FS = "\t"
	text["load"] = "a device's fault, more threads"
	printf "%-44s %9s %9s %9s\n", "time, ours : stock (A B A B)", \
		"median", "10%", "90%"
}

{ sub(/\r$/, "") }

file == "rows" { text[$1] = $4; next }

$1 == "wall" || $1 == "load" { measured = 1 }

$1 == "wall" { printf "%-44s %9s %9s %9s\n", text[$2], $3, $4, $5 }

$1 == "load" {
	if (!loads++)
		printf "%-44s %9s %9s %9s\n", "a device's fault, us", \
			"median", "99%", "worst"
	printf "%-44s %9s %9s %9s\n", \
		$3 ", " $2 " threads unmap elsewhere", $4, $5, $6
}

/^hmm-bench: [a-z0-9-]+ failed$/ {
	sub(/^hmm-bench: /, "")
	sub(/ failed$/, "")
	printf "%-44s not measured\n", text[$0]
}

END { exit !measured }
