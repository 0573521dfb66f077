# gnuplot -e "folder='build/bench'" tools/benchmarks/memory.gp
load "tools/benchmarks/style.gp"
data = folder . "/memory.dat"
set terminal svg size 1100,440 font "sans-serif,13" background rgb "white"
set output folder . "/memory.svg"

stats data index 0 using 3 nooutput
set multiplot layout 1,3 title "Peak memory and pace of exports\n{/*0.85 " . first_line(data) . "}" \
    textcolor rgb "#303030" margins 0.07,0.98,0.14,0.80 spacing 0.08,0
unset key
set xlabel "checkpoint, GB (logarithmic)"
set logscale x
set xrange [(STATS_min < 4 ? STATS_min / 2 : 3):100]
set xtics (0.01, 0.1, 1, 3, 5, 10, 20, 50, 100)
set style line 1 lc rgb "#2f5d8a" lw 2 pt 7 ps 0.8

set ylabel "peak memory, MiB"
set yrange [0:600]
set arrow 1 from graph 0, first 500 to graph 1, first 500 nohead lc rgb "#a04040" dt 2 lw 1.5
set label 1 "500 MiB" at graph 0.98, first 500 right offset 0, 0.6 textcolor rgb "#a04040"
plot data index 0 using 3:4 with linespoints ls 1, \
     "" index 0 using 3:4:1 with labels offset 0, 1 textcolor rgb "#303030"
unset arrow 1
unset label 1

set ylabel "seconds for a GB of checkpoint"
set yrange [0:*]
set offsets 0, 0, graph 0.15, 0
plot data index 0 using 3:5 with points ls 1, \
     "" index 0 using 3:5:1 with labels offset 0, 1 textcolor rgb "#303030"

set xlabel "threads"
set ylabel "peak memory, MiB"
unset logscale x
set xtics auto
set xrange [-0.6:2.6]
set yrange [0:600]
set offsets 0, 0, 0, 0
set grid noxtics
set xtics scale 0
set boxwidth 0.5
set style fill solid 1 noborder
set arrow 1 from graph 0, first 500 to graph 1, first 500 nohead lc rgb "#a04040" dt 2 lw 1.5
plot data index 1 using 0:4:xticlabels(2) with boxes lc rgb "#2f5d8a", \
     "" index 1 using 0:4:(sprintf("%s: %.0f", stringcolumn(1), column(4))) \
        with labels offset 0, 0.7 textcolor rgb "#303030"
unset multiplot
