# SPDX-License-Identifier: GPL-2.0
# Draws bench.tsv and load.tsv of the current directory; "loads" is how many
# lines the second one has. Columns of load.tsv: 1 load, 2 threads, 3 side,
# 4 median, 5 99th percentile.

set terminal svg size 800,500 background "white"
set datafile separator "\t"
set datafile missing "-"
set grid
set key top left

# Columns of bench.tsv: 1 row, 2 ours, 4 stock, 5 limit. The last part of the
# row's name is the number that is plotted against.
rows(name) = "< grep '^" . name . "-[0-9]' bench.tsv | sed 's/^" . name . "-//' | sort -n"

set logscale xy
set output "size.svg"
set title "Reading a range: instructions a page"
set xlabel "pages in the range"
set ylabel "instructions a page"
set key top right
plot rows("size") using 1:($4/$1) with linespoints title "interval API", \
     "" using 1:($2/$1) with linespoints title "mirror API", \
     "" using 1:($5/$1) with linespoints title "bare walk and copy", \
     "" using 1:($6/$1) with linespoints title "pin\\_user\\_pages\\_fast"

unset logscale y
set yrange [0:*]
set output "ranges.svg"
set title "Many ranges in one address space: instructions"
set xlabel "ranges registered"
set ylabel "instructions"
set key top left
plot rows("take-ranges") using 1:4 with linespoints \
	title "interval API: take, fault, drop a page", \
     "" using 1:2 with linespoints title "mirror API: the same", \
     rows("invalidate-ranges") using 1:4 with linespoints \
	title "interval API: invalidate a page", \
     "" using 1:2 with linespoints title "mirror API: the same"

if (!loads) exit
unset logscale
set logscale y
set yrange [*:*]
set output "load.svg"
set title "A device's fault while threads unmap unrelated memory"
set xlabel "threads"
set ylabel "microseconds"
set xtics 1
side(load, name) = "< grep '^" . load . "\t.*" . name . "' load.tsv"
plot side("load", "stock") using 2:4 with linespoints \
	title "interval API, median", \
     "" using 2:5 with linespoints title "interval API, 99%", \
     side("load", "locked") using 2:5 with linespoints \
	title "mirror API, locked, 99%", \
     side("load", "ours") using 2:4 with linespoints \
	title "mirror API, median", \
     "" using 2:5 with linespoints title "mirror API, 99%"

# Bars: idle, a writer, and threads that map and unmap
set output "mmap.svg"
set title "A device's fault while others have the mmap lock for writing, 99%"
set xlabel "load"
unset xtics
set xtics nomirror
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.6
bars(name) = "< grep '^\\(load\t0\\|hold\\|map\\)\t.*" . name . "' load.tsv"
label(load, n) = load eq "load" ? "idle" : load eq "hold" ? \
	"held 10 ms at 50 Hz" : sprintf("%d x mmap, munmap", n)
plot bars("stock") using 5:xtic(label(strcol(1), column(2))) \
	title "interval API", \
     bars("locked") using 5 title "mirror API, locked", \
     bars("ours") using 5 title "mirror API, unlocked"
