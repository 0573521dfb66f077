# gnuplot -e "folder='build/bench'" tools/benchmarks/kernels.gp
load "tools/benchmarks/style.gp"
data = folder . "/kernels.dat"
set terminal svg size 1000,620 font "sans-serif,13" background rgb "white"
set output folder . "/kernels.svg"

# A row a kernel, the first on top; a point an instruction set. The scale is logarithmic: what counts is how many times.
kernels = system("grep -v -e '^#' -e '^memcpy' '" . data . "' | cut -f1 | uniq")
sets = system("grep -v -e '^#' -e '^memcpy' '" . data . "' | cut -f2 | awk '!seen[$0]++'")
row(name) = sum [i = 1:words(kernels)] (word(kernels, i) eq name ? i : 0)
copy(name) = real(system("grep '^" . name . "' '" . data . "' | cut -f3"))
block = copy("memcpy/block")
row_copy = copy("memcpy/row")
colours = "#2f5d8a #5f9ea0 #b8860b #8a8a8a #704070 #507050"

set title "Kernels by instruction set\n{/*0.85 " . first_line(data) . "}" textcolor rgb "#303030"
set xlabel "GB/s read and written (encode_rows: read), logarithmic" noenhanced
set logscale x
set yrange [words(kernels) + 0.6:0.4]
set xrange [0.1:row_copy * 1.5]
set format x "%g"
unset ytics
set ytics nomirror scale 0 noenhanced
do for [i = 1:words(kernels)] { set ytics add (word(kernels, i) i) }
set key outside right top Left reverse spacing 1.3
set arrow from block, graph 0 to block, graph 1 nohead lc rgb "#a04040" dt 2 lw 1.5
set arrow from row_copy, graph 0 to row_copy, graph 1 nohead lc rgb "#e0a0a0" dt 2 lw 1.5
plot for [s = 1:words(sets)] data \
       using (stringcolumn(2) eq word(sets, s) ? column(3) : NaN):(row(stringcolumn(1))) \
       with points pt 7 ps 0.9 lc rgb word(colours, s) title word(sets, s), \
     NaN with lines lc rgb "#a04040" dt 2 lw 1.5 title "memcpy, 4 MiB", \
     NaN with lines lc rgb "#e0a0a0" dt 2 lw 1.5 title "memcpy, one row"
