module livefeed/bench

go 1.22
