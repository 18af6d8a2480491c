module livefeed/bench

go 1.21
