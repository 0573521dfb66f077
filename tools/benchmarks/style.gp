# What the plots share. `folder` holds the measurements and takes the plots.
set encoding utf8
set datafile separator "\t"
set border 3 lc rgb "#606060"
set tics nomirror textcolor rgb "#303030"
set grid lc rgb "#e4e4e4" lt 1
first_line(file) = system("sed -n '1s/^# //p' '" . file . "'")
