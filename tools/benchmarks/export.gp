# gnuplot -e "folder='build/bench'" tools/benchmarks/export.gp
load "tools/benchmarks/style.gp"
data = folder . "/export.dat"
set terminal svg size 900,480 font "sans-serif,13" background rgb "white"
set output folder . "/export.svg"

set title "Export against the floor of its reads and writes\n{/*0.85 " . first_line(data) . "}" textcolor rgb "#303030"
set ylabel "seconds, all bytes on the disk (median; min to max)"
set yrange [0:*]
set key outside right top Left reverse width 1 spacing 1.3
set style data histogram
set style histogram errorbars gap 1.5
set style fill solid 1 noborder
set boxwidth 0.9
set errorbars 0.6 lc rgb "#303030" lw 1.2
set xtics scale 0
set grid noxtics ytics
plot data using 2:3:4:xtic("page cache " . stringcolumn(1)) title "export" lc rgb "#2f5d8a", \
     "" using 5:6:7 title "floor" lc rgb "#9aa5b1", \
     "" using 8:9:10 title "floor, overlapped" lc rgb "#cdd3da"
