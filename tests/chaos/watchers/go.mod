module livefeed/chaos

go 1.22
