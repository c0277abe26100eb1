import{io as q}from"/socket.io/tidewire.js";var P={connecting:"connecting \u2026",connected:"connected",disconnected:"disconnected"},S=class extends HTMLElement{#t=new Map;#o=0;#e=!1;connectedCallback(){if(this.#t.size>0)return;let e=document.createElement("span");e.className="state",e.setAttribute("role","status");let n=document.createElement("dl");for(let o of["transport","round trip","reconnects","last session"]){let s=document.createElement("div"),[i,a]=[document.createElement("dt"),document.createElement("dd")];i.textContent=o,a.textContent="\u2013",a.dataset.field=o,s.append(i,a),n.append(s),this.#t.set(o,a)}this.append(e,n),this.#t.set("state",e),this.show("connecting")}watch(e,{measure:n=!0}={}){let o=e.io;e.on("connect",()=>{this.#e?this.#n("reconnects",`${++this.#o}`):this.#n("reconnects","0"),this.#n("last session",this.#e?e.recovered?"recovered":"new":"first"),this.#e=!0,this.show("connected");let{engine:s}=o;this.#n("transport",s.transport.name),s.on("upgrade",i=>this.#n("transport",i.name)),n&&this.#s(e)}),e.on("disconnect",s=>{this.show(e.active?"connecting":"disconnected",s),this.#n("transport","\u2013"),this.#n("round trip","\u2013")}),e.on("connect_error",s=>this.show(e.active?"connecting":"disconnected",s.message))}roundTrip(e){this.#n("round trip",`${e.toFixed(e<10?1:0)} ms`)}async#s(e){let{id:n}=e;for(;e.connected&&e.id===n;){let o=performance.now();try{await e.timeout(2e3*2).emitWithAck("round-trip"),this.roundTrip(performance.now()-o)}catch{return}await new Promise(s=>setTimeout(s,2e3))}}#n(e,n){let o=this.#t.get(e);o&&o.textContent!==n&&(o.textContent=n)}show(e,n="",o){o&&this.#n("transport",o),this.dataset.state=e,this.title=n,this.#n("state",P[e])}};customElements.define("connection-status",S);function $(t,e={}){let n=document.querySelector("connection-status");if(!n)throw new Error("the page has no <connection-status>");return n.watch(t,e),n}var T={connections:{value:({polling:t,webSocket:e,rawWebSocket:n})=>t+e+n,text:c,detail:({polling:t,webSocket:e,rawWebSocket:n})=>`${c(e)} WebSocket, ${c(t)} polling, ${c(n)} raw`},eventsIn:{value:({eventsIn:t})=>t,text:E,detail:({bytesIn:t})=>`${x(t)}/s`},eventsOut:{value:({eventsOut:t})=>t,text:E,detail:({bytesOut:t,notSent:e})=>`${x(t)}/s${e?`, ${c(e)} not sent`:""}`},handlerTime:{value:({handlerTime:t})=>t,text:O,detail:({failures:t})=>`mean, ${t===0?"none failed":`${c(t)} failed`}`},rooms:{value:({rooms:t})=>t,text:c,detail:({sockets:t})=>`${c(t)} ${t===1?"socket":"sockets"} in all namespaces`},memory:{value:({memory:t})=>t,text:x,detail:()=>"resident, of the whole process"}};function c(t){return t===null?"\u2013":t.toLocaleString("en")}function E(t){return t===null?"\u2013":`${t.toLocaleString("en",{maximumFractionDigits:t<10?1:0})} /s`}function O(t){return t===null?"\u2013":t<1e3?`${t.toFixed(t<10?1:0)} \xB5s`:`${(t/1e3).toFixed(1)} ms`}function x(t){if(t===null)return"\u2013";let e=["B","kB","MB","GB"],n=0;for(;t>=1e3&&n<e.length-1;n++)t/=1e3;return`${t.toFixed(n===0||t>=100?0:1)} ${e[n]}`}function v(t){let[e,n,o]=[t/86400,t/3600%24,t/60%60].map(Math.floor);return e?`${e} d ${n} h`:n?`${n} h ${o} min`:o?`${o} min ${Math.floor(t%60)} s`:`${Math.floor(t)} s`}function A(t,e,n,o){return t==="js"?e==="socket.io"?D(n):G(o):e==="socket.io"?B(n):W(o)}var D=t=>({text:`import { io } from "${t}/socket.io/tidewire.js";

const socket = io("${t}");

socket.on("connect", () => console.log(socket.id));
socket.on("notification", (text) => console.log(text));
socket.on("message", (text) => console.log(text));

socket.emit("join-room", "general");
socket.emit("message", "hello"); // "Echo: hello"

// with an acknowledgement
await socket.timeout(5_000).emitWithAck("leave-room", "general");`,note:"A module in any page. In Node, import io from socket.io-client 4."}),G=t=>({text:`const socket = new WebSocket("${t}");
socket.binaryType = "arraybuffer";

socket.addEventListener("open", () => {
  socket.send("hello");
  socket.send(Uint8Array.of(1, 2, 3));
});

socket.addEventListener("message", ({ data }) => {
  console.log(data); // the echo
});`,note:"Any page, Node 22 or newer, Deno, Bun."}),B=t=>({text:`use tidewire::client::{Client, Data};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = Client::builder("${t}")
        .on("notification", async |Data(text): Data<String>| println!("{text}"))
        .on("message", async |Data(text): Data<String>| println!("{text}"))
        .connect();
    socket.emit("join-room", "general");
    socket.emit("message", "hello"); // "Echo: hello"
    tokio::signal::ctrl_c().await?;
    Ok(())
}`,note:"With the crates tidewire and tokio. It reconnects by itself."}),W=t=>({text:`use tidewire::ws;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut socket = ws::connect("${t}").await?;
    socket.send("hello").await?;
    while let Some(message) = socket.recv().await {
        println!("{message:?}"); // the echo
    }
    Ok(())
}`,note:"With the crates tidewire and tokio."}),U=/(\/\/.*)|("[^"\n]*")|\b(import|from|const|new|await|async|use|fn|let|mut|while|Some|Ok|Result)\b/g;function C(t,e){let n=[],o=0;for(let s of e.matchAll(U)){let[i,a,f]=s,u=document.createElement("span");u.className=a?"comment":f?"string":"keyword",u.textContent=i,n.push(e.slice(o,s.index),u),o=s.index+i.length}t.replaceChildren(...n,e.slice(o))}var k="http://www.w3.org/2000/svg";var h=class{#t=document.createElementNS(k,"svg");#o=document.createElementNS(k,"path");#e=document.createElementNS(k,"path");#s;constructor(e,n){this.#s=n,this.#t.setAttribute("viewBox",`0 0 ${n-1} 32`),this.#t.setAttribute("preserveAspectRatio","none"),this.#t.setAttribute("role","img"),this.#t.setAttribute("aria-label","no values yet"),this.#o.setAttribute("class","area"),this.#e.setAttribute("class","stroke"),this.#t.append(this.#o,this.#e),e.append(this.#t)}show(e,n){let o=e.filter(l=>l!==null);if(o.length===0)return;let[s,i]=[Math.min(...o),Math.max(...o)],a=s>.8*i&&i>0?s-.25*(i-s||i):0,f=29/(i-a||1),u=this.#s-e.length,m=e.flatMap((l,w)=>l===null?[]:[[u+w,31-(l-a)*f]]),b=m.map(([l,w])=>`${l} ${w.toFixed(1)}`).join("L"),[j,F]=[m[0][0],m.at(-1)[0]];this.#e.setAttribute("d",m.length>1?`M${b}`:""),this.#o.setAttribute("d",m.length>1?`M${j} 32L${b}L${F} 32Z`:""),this.#t.setAttribute("aria-label",`last minute: ${n(s)} to ${n(i)}`)}};var I=60;function r(t,e=document){let n=e.querySelector(t);if(!n)throw new Error(`the page has no ${t}`);return n}var y=class{#t;#o;#e;#s;constructor(e,n){this.#t=r(".number",e),this.#o=r("[data-detail]",e),this.#e=new h(r(".line",e),I),this.#s=n}show(e,n){let{value:o,text:s,detail:i}=this.#s;this.#t.textContent=s(o(n)),this.#o.textContent=i(n),this.#e.show(e.map(o),s)}},g=q("/figures");$(g);var M=r("[data-figures]"),V=Object.entries(T).map(([t,e])=>new y(r(`[data-figure="${t}"]`),e)),p=[];g.on("history",t=>{p=t,R()});g.on("figures",t=>{p=[...p,t].slice(-I),R()});g.on("disconnect",()=>M.toggleAttribute("data-stale",!0));function R(){let t=p.at(-1);if(t){M.toggleAttribute("data-stale",!1);for(let e of V)e.show(p,t);r("[data-uptime]").textContent=v(t.uptime)}}var{protocol:L,host:H}=location,_={"socket.io":`${L}//${H}/socket.io/`,websocket:`${L==="https:"?"wss:":"ws:"}//${H}/ws`};for(let[t,e]of Object.entries(_))r(`[data-address="${t}"]`).textContent=e;var d={language:"js",protocol:"socket.io"};function N(t){d={...d,...t};for(let o of document.querySelectorAll("[data-language], [data-protocol]")){let{language:s,protocol:i}=o.dataset;o.setAttribute("aria-pressed",`${s===d.language||i===d.protocol}`)}let{text:e,note:n}=A(d.language,d.protocol,location.origin,_.websocket);C(r("[data-snippet]"),e),r("[data-snippet-note]").textContent=n}for(let t of document.querySelectorAll("[data-language], [data-protocol]"))t.addEventListener("click",()=>N({...t.dataset}));N({});for(let t of document.querySelectorAll("[data-copy]")){let e=t.firstChild;t.addEventListener("click",async()=>{let n=t.dataset.copy,o=r(n==="snippet"?"[data-snippet]":`[data-address="${n}"]`);e.data=await z(o)?"Copied":"Press Ctrl+C",setTimeout(()=>e.data="Copy",2e3)})}async function z(t){try{return await navigator.clipboard.writeText(t.textContent??""),!0}catch{return getSelection()?.selectAllChildren(t),!1}}
