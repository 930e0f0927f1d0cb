// SPDX-License-Identifier: MPL-2.0

package fakekit

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// thing is what the cloud of these tests keeps.
type thing struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// shop is a small cloud: it makes, lists and deletes things.
type shop struct {
	t *testing.T
	*Kit
	things Table[thing]
	// violations are what the cloud did not take.
	violations []error
}

const (
	create = "POST /v1/things"
	list   = "GET /v1/things"
	remove = "DELETE /v1/things/{id}"
)

func open(t *testing.T, opts Options) *shop {
	t.Helper()
	s := &shop{t: t}
	opts.OnViolation = func(err error) { s.violations = append(s.violations, err) }
	s.Kit = Start(t, opts)
	s.things.Kit = s.Kit
	s.Handle(create, func(c *Call) (any, error) {
		in := &thing{}
		if err := c.Decode(in); err != nil {
			return nil, err
		}
		in.ID = fmt.Sprint("t-", len(s.things.rows))
		s.things.Add(in.ID, in)
		return in, nil
	})
	s.Handle(list, func(c *Call) (any, error) {
		items, next := Page(s.things.Listed(), c.Query.Get("page"), 2)
		return map[string]any{"things": items, "next": next}, nil
	})
	s.Handle(remove, func(c *Call) (any, error) {
		if _, err := s.things.Find(c.Value("id")); err != nil {
			return nil, err
		}
		s.things.Delete(c.Value("id"))
		return nil, nil
	})
	return s
}

// ask returns the status and the text of the answer; 0 is no answer.
func (s *shop) ask(call, body string, header ...string) (int, string) {
	s.t.Helper()
	verb, path, _ := strings.Cut(call, " ")
	req, err := http.NewRequestWithContext(s.t.Context(), verb, "http://anywhere.example"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text) + resp.Header.Get("Retry-After")
}

func (s *shop) want(status int, part, call, body string, header ...string) {
	s.t.Helper()
	if got, text := s.ask(call, body, header...); got != status || !strings.Contains(text, part) {
		s.t.Errorf("%s answers with %d %q, want %d %q", call, got, text, status, part)
	}
}

// stands says how many things there are.
func (s *shop) stands(n int) {
	s.t.Helper()
	s.Locked(func() {
		if got := len(s.things.All()); got != n {
			s.t.Errorf("there are %d things, want %d", got, n)
		}
	})
}

func TestCallsAndState(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := open(t, Options{TLS: tls})
		s.want(200, `"id":"t-0"`, create, `{"name":"a"}`)
		s.want(400, "unknown field", create, `{"colour":"red"}`)
		s.want(204, "", "DELETE /v1/things/t-0", "")
		s.want(404, `"not_found"`, "DELETE /v1/things/t-0", "")
		s.want(200, `{"next":"","things":[]}`, list, "")
		s.want(404, "", "PUT /v1/nothing", "")
		if len(s.violations) != 1 || !strings.Contains(s.violations[0].Error(), "PUT /v1/nothing") {
			t.Errorf("noted are %v", s.violations)
		}
		if a, b := s.Calls(remove), s.Calls("*"); a != 2 || b != 5 {
			t.Errorf("%d deletions of %d calls are counted", a, b)
		}
		if log := s.Log(); log[3].Status != 404 || log[3].Path != "/v1/things/t-0" || log[0].Status != 200 {
			t.Errorf("the log is %+v", log)
		}
	}
}

func TestWhoMayCall(t *testing.T) {
	s := open(t, Options{Tokens: map[string]string{"key-1": "me"}})
	s.want(401, "unauthorized", create, `{}`)
	s.want(401, "unauthorized", create, `{}`, "Authorization", "Bearer key-2")
	s.stands(0)
	s.want(200, "", create, `{}`, "Authorization", "Bearer key-1")
	if log := s.Log(); log[2].Who != "me" {
		t.Errorf("the log is %+v", log)
	}
	signed := open(t, Options{Auth: func(r *http.Request, body []byte) (string, bool) {
		return "signer", r.Header.Get("Signature") == fmt.Sprint(len(body))
	}})
	signed.want(401, "", create, `{}`, "Signature", "3")
	signed.want(200, "", create, `{}`, "Signature", "2")
}

func TestFaults(t *testing.T) {
	no := &Refusal{Status: 503, Code: "no_room", Message: "full"}
	for name, tt := range map[string]struct {
		fault    Fault
		statuses []int // of three creations
		stand    int
	}{
		"refused":               {Fault{Call: create, Refuse: no}, []int{503, 503, 503}, 0},
		"refused once":          {Fault{Call: create, Refuse: no, Times: 1}, []int{503, 200, 200}, 2},
		"refused twice, later":  {Fault{Call: "*", Refuse: no, Skip: 1, Times: 2}, []int{200, 503, 503}, 1},
		"done, and refused":     {Fault{Call: create, Refuse: no, Late: true, Times: 1}, []int{503, 200, 200}, 3},
		"done, and not said":    {Fault{Call: create, Lose: true, Times: 1}, []int{0, 200, 200}, 3},
		"another call":          {Fault{Call: list, Refuse: no}, []int{200, 200, 200}, 3},
		"what the body says":    {Fault{Call: create, Match: `"name":"1"`, Refuse: no}, []int{200, 503, 200}, 2},
		"another one's body":    {Fault{Call: create, Match: `"name":"7"`, Refuse: no}, []int{200, 200, 200}, 3},
		"what is no answer":     {Fault{Call: create, Times: 1, Answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }}, []int{302, 200, 200}, 2},
		"refused, not thrice":   {Fault{Call: create, Refuse: no, Late: true}, []int{503, 503, 503}, 3},
		"nothing goes wrong":    {Fault{Call: create, After: func() {}}, []int{200, 200, 200}, 3},
		"a path that is absent": {Fault{Call: "*", Match: "/v2/", Refuse: no}, []int{200, 200, 200}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{})
			takeBack := s.Inject(tt.fault)
			for i, want := range tt.statuses {
				if got, text := s.ask(create, fmt.Sprintf(`{"name":"%d"}`, i)); got != want {
					t.Errorf("creation %d answers with %d %s, want %d", i, got, text, want)
				}
			}
			s.stands(tt.stand)
			takeBack()
			s.want(200, "", create, `{}`)
		})
	}
}

// TestAfter: what is to follow an effect follows no call without one.
func TestAfter(t *testing.T) {
	s, struck := open(t, Options{}), 0
	s.Inject(Fault{Call: create, After: func() { struck++ }})
	s.want(400, "", create, `{`)
	s.want(200, "", create, `{}`)
	if struck != 1 {
		t.Errorf("it struck %d times, want once", struck)
	}
}

func TestLimits(t *testing.T) {
	s := open(t, Options{})
	s.Limit(create, 1, 12*time.Second)
	s.Limit("*", 3, time.Minute)
	s.want(200, "", create, `{}`)
	s.want(429, "12", create, `{}`)
	s.Advance(12 * time.Second)
	s.want(200, "", create, `{}`)
	s.want(200, "", list, "")
	s.want(429, "3 calls in 1m0s", list, "")
	s.Advance(time.Minute)
	s.want(200, "", list, "")
	s.stands(2)
}

// TestListingsLag: what is new is asked for but not listed, what is gone the reverse.
func TestListingsLag(t *testing.T) {
	s := open(t, Options{VisibleAfter: time.Hour, GoneAfter: time.Hour})
	listed := func(n int) {
		t.Helper()
		s.Locked(func() {
			if got := len(s.things.Listed()); got != n {
				t.Errorf("%d things are listed, want %d", got, n)
			}
		})
	}
	s.want(200, "", create, `{}`)
	listed(0)
	s.stands(1)
	s.Advance(time.Hour)
	listed(1)
	s.want(204, "", "DELETE /v1/things/t-0", "")
	listed(1)
	s.stands(0)
	s.Advance(time.Hour)
	listed(0)
}

func TestPages(t *testing.T) {
	s := open(t, Options{})
	for range 5 {
		s.want(200, "", create, `{}`)
	}
	var ids []string
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		var page struct {
			Things []thing
			Next   string
		}
		_, text := s.ask(list+"?page="+token, "")
		if err := json.Unmarshal([]byte(text), &page); err != nil || pages > 3 {
			t.Fatalf("page %d: %s, %v", pages, text, err)
		}
		for _, th := range page.Things {
			ids = append(ids, th.ID)
		}
		token = page.Next
	}
	if fmt.Sprint(ids) != "[t-0 t-1 t-2 t-3 t-4]" {
		t.Errorf("the pages have %v", ids)
	}
	if items, next := Page([]int{1}, "junk", 1); len(items) != 1 || next != "" {
		t.Errorf("a token that is none begins with %v, %q", items, next)
	}
}

// TestWhatIsDueHappens: before a call, and when the clock moves.
func TestWhatIsDueHappens(t *testing.T) {
	settled := 0
	s := open(t, Options{Settle: func() { settled++ }, Shape: func(r Refusal) any { return map[string]any{"detail": r.Message} }})
	s.want(404, `{"detail":"there is no \"x\""}`, "DELETE /v1/things/x", "")
	s.Advance(time.Second)
	if settled != 2 {
		t.Errorf("it settled %d times, want 2", settled)
	}
}

// TestReply: an answer may have a status of its own.
func TestReply(t *testing.T) {
	s := open(t, Options{})
	s.Handle("POST /v1/made", func(*Call) (any, error) { return Reply{Status: 201, Body: thing{ID: "x"}}, nil })
	s.want(201, `"id":"x"`, "POST /v1/made", "")
	if log := s.Log(); log[0].Status != 201 {
		t.Errorf("the log is %+v", log)
	}
}
