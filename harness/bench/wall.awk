# SPDX-License-Identifier: GPL-2.0
# Reads file=rows (see there) and file=output (what hmm-bench wall printed);
# prints time ratios and waits for people. Nothing here is passed or failed.

BEGIN {
	FS = "\t"
	printf "%-44s %9s %9s %9s\n", "time, ours : stock (A B A B)", \
		"median", "10%", "90%"
}

{ sub(/\r$/, "") }

file == "rows" { text[$1] = $4; next }

$1 == "wall" { printf "%-44s %9s %9s %9s\n", text[$2], $3, $4, $5 }

$1 == "load" {
	if (!loads++)
		printf "%-44s %9s %9s %9s\n", "a device's fault, us", \
			"median", "99%", "worst"
	printf "%-44s %9s %9s %9s\n", \
		$3 ", " $2 " threads unmap elsewhere", $4, $5, $6
}
