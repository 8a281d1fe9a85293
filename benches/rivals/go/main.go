// The work on Go: `rival WORKLOAD NUMBERS..`, a line `FIGURE VALUE` for each figure; status 3 for a
// workload that it has not got. What each is stands in the Rust programs beside it.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func report(figure string, value float64) { fmt.Printf("%s %.4f\n", figure, value) }

func each(start time.Time, times int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(times)
}

func check(right bool, what string) {
	if !right {
		panic(what)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// together runs so many goroutines and waits for them.
func together(tasks int, f func(int)) {
	var all sync.WaitGroup
	all.Add(tasks)
	for task := range tasks {
		go func() {
			defer all.Done()
			f(task)
		}()
	}
	all.Wait()
}

func yields(tasks, turns int) {
	start := time.Now()
	together(tasks, func(int) {
		for range turns / tasks {
			runtime.Gosched()
		}
	})
	report("time", each(start, turns))
}

func spawns(tasks int) {
	var ran atomic.Int64
	var all sync.WaitGroup
	all.Add(tasks)
	start := time.Now()
	for range tasks {
		go func() {
			ran.Add(1)
			all.Done()
		}()
	}
	all.Wait()
	report("time", each(start, tasks))
	check(ran.Load() == int64(tasks), "some did not run")
}

// A goroutine has no handle: its result comes through a channel.
func joins(tasks int) {
	start := time.Now()
	for task := range tasks {
		result := make(chan int)
		go func() { result <- task }()
		check(<-result == task, "another one's result")
	}
	report("time", each(start, tasks))
}

func pingPong(rounds int) {
	toIt, toUs := make(chan int), make(chan int)
	go func() {
		for it := range toIt {
			toUs <- it
		}
	}()
	start := time.Now()
	for round := range rounds {
		toIt <- round
		check(<-toUs == round, "another answer")
	}
	report("time", each(start, rounds))
}

func channels(senders, receivers, capacity, messages int) {
	if capacity < 0 {
		hasNone()
	}
	channel := make(chan int, capacity)
	var sent, gone sync.WaitGroup
	var received atomic.Int64
	sent.Add(senders)
	gone.Add(receivers)
	start := time.Now()
	for range senders {
		go func() {
			for message := range messages / senders {
				channel <- message
			}
			sent.Done()
		}()
	}
	for range receivers {
		go func() {
			count := int64(0)
			for range channel {
				count++
			}
			received.Add(count)
			gone.Done()
		}()
	}
	sent.Wait()
	close(channel)
	gone.Wait()
	report("time", each(start, messages))
	check(received.Load() == int64(messages/senders*senders), "messages were lost")
}

func selects(rounds int) {
	var arms [4]chan int
	for arm := range arms {
		arms[arm] = make(chan int)
		go func() {
			for {
				arms[arm] <- 1
			}
		}()
	}
	a, b, c, d := arms[0], arms[1], arms[2], arms[3]
	start := time.Now()
	sum := 0
	for range rounds {
		select {
		case it := <-a:
			sum += it
		case it := <-b:
			sum += it
		case it := <-c:
			sum += it
		case it := <-d:
			sum += it
		}
	}
	report("time", each(start, rounds))
	check(sum == rounds, "messages were lost")
}

func skynet(to chan<- int, first, size int) {
	if size == 1 {
		to <- first
		return
	}
	sums := make(chan int)
	for child := range 10 {
		go skynet(sums, first+child*(size/10), size/10)
	}
	sum := 0
	for range 10 {
		sum += <-sums
	}
	to <- sum
}

func skynets(leaves int) {
	start := time.Now()
	sum := make(chan int)
	go skynet(sum, 0, leaves)
	check(<-sum == leaves*(leaves-1)/2, "another sum")
	report("time", time.Since(start).Seconds()*1e3)
}

func mutexes(tasks, locks int) {
	var lock sync.Mutex
	count := 0
	start := time.Now()
	together(tasks, func(int) {
		for range locks / tasks {
			lock.Lock()
			count++
			lock.Unlock()
		}
	})
	report("time", each(start, locks))
	check(count == locks/tasks*tasks, "the lock does not lock")
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func timers(tasks int) {
	late := make([]time.Duration, tasks)
	naps := make([]time.Duration, tasks)
	word := uint64(88172645463325252)
	for task := range tasks {
		word ^= word << 13
		word ^= word >> 7
		word ^= word << 17
		naps[task] = time.Duration(1+word%2000) * time.Millisecond
	}
	before := cpu()
	together(tasks, func(task int) {
		start := time.Now()
		time.Sleep(naps[task])
		late[task] = time.Since(start) - naps[task]
	})
	report("cpu", float64(cpu()-before)/float64(tasks)/1e3)
	slices.Sort(late)
	report("late-p50", float64(late[tasks*50/100])/1e3)
	report("late-p99", float64(late[tasks*99/100])/1e3)
}

func prime(n int) int {
	var found []int
	for number := 2; ; number++ {
		isPrime := true
		for _, it := range found {
			if it*it > number {
				break
			}
			if number%it == 0 {
				isPrime = false
				break
			}
		}
		if isPrime {
			found = append(found, number)
			if len(found) == n {
				return number
			}
		}
	}
}

func sieve(primes int) {
	start := time.Now()
	numbers := make(chan int)
	go func() {
		for number := 2; ; number++ {
			numbers <- number
		}
	}()
	source, last := numbers, 0
	for range primes {
		last = <-source
		next := make(chan int)
		go func(source <-chan int, prime int) {
			for number := range source {
				if number%prime != 0 {
					next <- number
				}
			}
		}(source, last)
		source = next
	}
	report("time", time.Since(start).Seconds()*1e3)
	check(last == prime(primes), "another prime")
}

func serve(stream net.Conn) {
	defer stream.Close()
	buffer := make([]byte, 4096)
	for {
		length, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:length]); err != nil {
			return
		}
	}
}

func echo(connections, milliseconds int) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() {
		for {
			go serve(must(listener.Accept()))
		}
	}()
	var answers atomic.Int64
	var stop atomic.Bool
	var clients sync.WaitGroup
	clients.Add(connections)
	for range connections {
		go func() {
			defer clients.Done()
			stream := must(net.Dial("tcp", listener.Addr().String()))
			defer stream.Close()
			buffer := make([]byte, 64)
			for !stop.Load() {
				must(stream.Write(buffer))
				must(io.ReadFull(stream, buffer))
				answers.Add(1)
			}
		}()
	}
	time.Sleep(300 * time.Millisecond)
	before, start := answers.Load(), time.Now()
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	report("rate", float64(answers.Load()-before)/time.Since(start).Seconds()/1e3)
	stop.Store(true)
	clients.Wait()
}

// memory: bytes in use, and of the page tables that map them.
func memory() int {
	bytesInUse := 0
	for line := range bytes.Lines(must(os.ReadFile("/proc/self/status"))) {
		if bytes.HasPrefix(line, []byte("VmRSS:")) || bytes.HasPrefix(line, []byte("VmPTE:")) {
			bytesInUse += 1024 * must(strconv.Atoi(string(bytes.Fields(line)[1])))
		}
	}
	return bytesInUse
}

func parked(tasks int) {
	before := memory()
	gate := make(chan struct{})
	var arrived, gone sync.WaitGroup
	arrived.Add(tasks)
	gone.Add(tasks)
	start := time.Now()
	for range tasks {
		go func() {
			arrived.Done()
			<-gate
			gone.Done()
		}()
	}
	arrived.Wait()
	report("spawn", each(start, tasks))
	report("memory", float64(memory()-before)/float64(tasks))
	start = time.Now()
	close(gate)
	gone.Wait()
	report("wake", each(start, tasks))
}

func hasNone() { os.Exit(3) }

func main() {
	if workers, err := strconv.Atoi(os.Getenv("WORKERS")); err == nil {
		runtime.GOMAXPROCS(workers)
	}
	numbers := make([]int, 4)
	for at, argument := range os.Args[2:] {
		if argument == "unbounded" {
			numbers[at] = -1
		} else {
			numbers[at] = must(strconv.Atoi(argument))
		}
	}
	switch os.Args[1] {
	case "yield":
		yields(numbers[0], numbers[1])
	case "spawn":
		spawns(numbers[0])
	case "join":
		joins(numbers[0])
	case "ping-pong":
		pingPong(numbers[0])
	case "channel":
		channels(numbers[0], numbers[1], numbers[2], numbers[3])
	case "select":
		selects(numbers[0])
	case "skynet":
		skynets(numbers[0])
	case "mutex":
		mutexes(numbers[0], numbers[1])
	case "timers":
		timers(numbers[0])
	case "sieve":
		sieve(numbers[0])
	case "echo":
		echo(numbers[0], numbers[1])
	case "memory":
		parked(numbers[0])
	default:
		hasNone()
	}
}
