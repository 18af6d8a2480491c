// Serves one JSON document with net/http, as a Go programmer would: one handler, bytes in memory, an ETag.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	address, tls, cert, key, path := os.Args[1], os.Args[2] == "tls", os.Args[3], os.Args[4], os.Args[5]
	document, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256(document))
	http.HandleFunc("/feed", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("ETag", etag)
		header.Set("Cache-Control", "public, max-age=1")
		header.Set("Access-Control-Allow-Origin", "*")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(document))
	})
	server := &http.Server{Addr: address, TLSNextProto: nil}
	if tls {
		log.Fatal(server.ListenAndServeTLS(cert, key))
	}
	log.Fatal(server.ListenAndServe())
}
